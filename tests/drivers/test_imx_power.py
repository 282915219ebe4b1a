"""i.MX reset driver: software reset by the watchdog (IMX6ULRM, chapter WDOG); semihosting."""

from driver_harness import BASE

WCR_WDA, WCR_SRS, WCR_WDE = 1 << 5, 1 << 4, 1 << 2


class Model:
    def __init__(self):
        self.writes, self.calls = [], []

    def write16(self, reg, value):
        self.writes.append((reg, value))

    def semihosting(self, operation, argument):
        self.calls.append(operation)
        return -1


def test_reset_asserts_the_software_reset_only(load):
    model = Model()
    load("imx_power", model, base=BASE).reset()
    assert len(model.writes) >= 2  # ERR004346: two within one clock of 32 kHz
    for reg, value in model.writes:
        assert reg == 0
        assert not value & WCR_SRS  # active low
        assert value & WCR_WDA  # the pin WDOG_B stays up
        assert value & WCR_WDE


def test_exit_asks_the_emulator_and_returns_on_hardware(load):
    model = Model()
    load("imx_power", model, base=BASE).exit(7)
    assert model.calls == [0x20]  # SYS_EXIT_EXTENDED
    assert model.writes == []
