"""virtio_pci, with firmware/pci below and virtio_net above it, against a model of PCI 3.0 and of
VIRTIO 1.2's section 4.1 (pci_model.py): modern, transitional and legacy devices, and devices that
say wrong things of themselves.
"""

import struct

import pytest
from pci_model import (
    COMMON,
    DEVICE,
    ISR,
    MASTER,
    MEMORY,
    NO_LINE,
    NOTIFY,
    VENDOR_CAP,
    WAKE,
    Bar,
    Function,
    Pci,
    Virtio,
)
from virtio_model import ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, VERSION_1, WRITE, poke

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("525400123456")
RECEIVE, SEND = 0, 1
KINDS = {
    "modern": {},
    "transitional": {"legacy": True},
    "legacy": {"legacy": True, "modern": False},
    "modern-line": {"messages": False},
    "legacy-line": {"legacy": True, "modern": False, "messages": False},
}


def make(load, card, *, place=(0, 3, 0), others=None, nth=0):
    machine = Pci({place: card, **(others or {})})
    net = load("virtio_net", machine, bus=("virtio_pci", {}), nth=nth)
    net.mac = net.room(6)
    net.mac[:] = bytes(6)
    net.machine = machine
    return net


def exchange(net, card):
    """A frame each way."""
    queue = card.queues[RECEIVE]
    head, addr, _, flags = queue.pop()[0]
    assert flags == WRITE
    frame = bytes(range(100))
    header = 12 if card.accepted & VERSION_1 else 10
    poke(addr, b"\0" * header + frame)
    queue.push(head, header + len(frame))
    card.isr = 0 if card.messages_on else 1
    buffer = net.room(1600)
    assert net.receive(buffer, 1514) == 100
    assert buffer.raw[:100] == frame
    assert net.receive(buffer, 1514) == 0
    assert card.isr == 0, "the line stays raised"
    poke(net.frame(), frame)
    assert net.send(100) == OK
    assert len(card.queues[SEND].pop()) == 1
    assert card.notified[-1] == SEND


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def card(request):
    return Virtio(**request.param)


def test_a_device_of_each_kind_carries_frames(load, card):
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert net.mac.raw == MAC
    assert net.link() == 1
    exchange(net, card)


def test_a_modern_device_goes_through_every_status_in_order(load):
    card = Virtio()
    net = make(load, card)
    assert net.init(net.mac) == OK
    a, b, c = ACKNOWLEDGE, ACKNOWLEDGE | DRIVER, ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert card.status_log == [0, a, b, c, c | DRIVER_OK]


def test_a_legacy_device_goes_through_every_status_in_order(load):
    card = Virtio(modern=False, legacy=True)
    net = make(load, card)
    assert net.init(net.mac) == OK
    a, b = ACKNOWLEDGE, ACKNOWLEDGE | DRIVER
    assert card.status_log == [0, a, b, b | DRIVER_OK]


def test_modern_registers_are_taken_where_there_are_both(load):
    card = Virtio(legacy=True)
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert card.accepted & VERSION_1


def test_messages_wake_this_processor_and_nothing_else_does(load):
    card = Virtio()
    net = make(load, card)
    assert net.init(net.mac) == OK
    address, data = WAKE
    assert struct.unpack("<QII", card.msix_table) == (address, data, 0)
    assert card.messages_on
    assert not card.masked
    assert card.vectors == {RECEIVE: 0, SEND: 0}


def test_a_device_without_messages_keeps_its_line(load):
    card = Virtio(messages=False)
    card.config[4:6] = struct.pack("<H", NO_LINE)
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert card.command & NO_LINE == 0
    assert card.command & (MEMORY | MASTER) == MEMORY | MASTER


def test_a_device_that_is_out_of_vectors_is_given_up(load):
    card = Virtio()
    card.no_vectors = True
    net = make(load, card)
    assert net.init(net.mac) == EIO


def test_registers_above_4_gb_are_reached(load):
    card = Virtio(memory=0x38_0000_0000)
    net = make(load, card)
    assert net.init(net.mac) == OK
    exchange(net, card)


def test_bars_without_an_address_get_one_each_in_the_window(load):
    card = Virtio(memory=0)
    card.bars[1].address = 0
    net = make(load, card)
    assert net.init(net.mac) == OK
    places = sorted((b.address, b.address + b.size) for b in card.bars.values())
    assert places[0][0] >= 0xE000_0000
    assert places[0][1] <= places[1][0]
    assert all(b.address % b.size == 0 for b in card.bars.values())
    exchange(net, card)


@pytest.mark.parametrize("place", [(0, 31, 7), (1, 0, 0), (3, 4, 2)])
def test_a_device_is_found_wherever_it_is(load, place):
    others = {(0, 31, 0): Function(0x8086, 1, header=0x80)}
    for bus, last in ((0, 3), (1, 3)):  # a bridge on bus 0 and one behind it
        bridge = Function(0x8086, 2, header=1)
        bridge.config[0x18:0x1B] = bytes([bus, bus + 1, last])
        others[bus, 30, 0] = bridge
    if place[2]:
        others.setdefault((place[0], place[1], 0), Function(0x8086, 3, header=0x80))
    card = Virtio()
    net = make(load, card, place=place, others=others)
    assert net.init(net.mac) == OK


def test_the_second_of_two_is_taken_when_the_board_says_so(load):
    first, second = Virtio(), Virtio(memory=0xFE10_0000)
    second.bars[1].address = 0xFEBE_0000
    net = make(load, first, others={(0, 4, 0): second}, nth=1)
    assert net.init(net.mac) == OK
    assert not first.queues
    assert second.queues


def test_a_machine_with_other_devices_only_has_no_network(load):
    others = {(0, 1, 0): Virtio(id_=4), (0, 2, 0): Function(0x8086, 0x1041)}
    net = make(load, Function(0x1AF4, 0x1110), others=others)  # the vendor's, but no virtio
    assert net.init(net.mac) == ENOENT
    assert net.machine.config_reads < 200, "an empty machine is looked through quickly"


def test_init_again_starts_from_the_beginning(load, card):
    net = make(load, card)
    for _ in range(6):  # more often than there is room for devices
        assert net.init(net.mac) == OK
        exchange(net, card)


def test_long_and_short_queues_are_used_as_they_are(load):
    card = Virtio(sizes=(1024, 16))
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert card.chosen == {RECEIVE: 16, SEND: 16}


def test_a_queue_shorter_than_the_driver_needs_is_refused(load):
    net = make(load, Virtio(sizes=(8, 256)))
    assert net.init(net.mac) == EIO


@pytest.mark.parametrize("sizes", [(0, 256), (100, 256), (1024, 1024), (256,)])
def test_a_legacy_queue_that_cannot_be_served_is_refused(load, sizes):
    net = make(load, Virtio(modern=False, legacy=True, sizes=sizes))
    assert net.init(net.mac) == EIO


def test_a_legacy_ring_goes_round(load):
    card = Virtio(modern=False, legacy=True)
    net = make(load, card)
    assert net.init(net.mac) == OK
    queue = card.queues[SEND]
    for number in range(600):  # the ring has 256 entries
        poke(net.frame(), struct.pack("<I", number) * 15)
        assert net.send(60) == OK
        ((head, _, length, _),) = queue.pop()
        assert length == 70
        queue.push(head, 0)


@pytest.mark.parametrize("what", ["refuses", "never_resets"])
def test_a_device_that_does_not_negotiate_is_given_up(load, what):
    card = Virtio()
    setattr(card, what, True)
    net = make(load, card)
    assert net.init(net.mac) == {"refuses": EIO, "never_resets": ETIMEDOUT}[what]


# What each of these writes instead of the usual capabilities; none may be believed.
HOSTILE = {
    "no notify": lambda c: (c.vendor_cap(COMMON, 4, 0, 0x1000), c.vendor_cap(ISR, 4, 0x1000, 4)),
    "bar 6": lambda c: [c.vendor_cap(k, 6, 0, 0x1000, 4) for k in (COMMON, NOTIFY, ISR)],
    "bar without memory": lambda c: [
        c.vendor_cap(k, 2, 0, 0x1000, 4) for k in (COMMON, NOTIFY, ISR)
    ],
    "bar 255": lambda c: [c.vendor_cap(k, 255, 0, 0x1000, 4) for k in (COMMON, NOTIFY, ISR)],
    "upper half of a bar": lambda c: [
        c.vendor_cap(k, 5, 0, 0x1000, 4) for k in (COMMON, NOTIFY, ISR)
    ],
    "beyond the bar": lambda c: [
        c.vendor_cap(k, 4, 0x3FF0, 0x1000, 4) for k in (COMMON, NOTIFY, ISR)
    ],
    "wraps": lambda c: [c.vendor_cap(k, 4, 0xFFFF_F000, 0x2000, 4) for k in (COMMON, NOTIFY, ISR)],
    "length 0": lambda c: [c.vendor_cap(k, 4, 0, 0, 4) for k in (COMMON, NOTIFY, ISR)],
    "common too short": lambda c: (
        c.vendor_cap(COMMON, 4, 0, 0x20),
        c.vendor_cap(ISR, 4, 0x1000, 4),
        c.vendor_cap(NOTIFY, 4, 0x3000, 0x1000, 4),
    ),
}


@pytest.mark.parametrize("caps", HOSTILE.values(), ids=HOSTILE)
def test_structures_that_cannot_be_are_not_believed(load, caps):
    net = make(load, Virtio(caps=caps))
    assert net.init(net.mac) == ENOENT


def test_the_first_structure_that_can_be_used_counts(load):
    def caps(card):
        card.vendor_cap(COMMON, 7, 0, 0x1000)
        card.usual_caps()
        card.vendor_cap(COMMON, 4, 0x2000, 0x1000)

    card = Virtio(caps=caps)
    net = make(load, card)
    assert net.init(net.mac) == OK


@pytest.mark.parametrize("good", [False, True])
def test_a_ring_of_capabilities_ends(load, good):
    card = Virtio(messages=False, caps=Virtio.usual_caps if good else lambda c: None)
    card.config[card.last_cap + 1] = card.last_cap  # the search for MSI-X goes round, too
    net = make(load, card)
    assert net.init(net.mac) == (OK if good else ENOENT)


def test_a_doorbell_outside_of_its_structure_is_not_rung(load):
    card = Virtio()
    card.notify_offs = [0, 0xFFFF]
    net = make(load, card)
    assert net.init(net.mac) == EIO


def test_registers_where_memory_is_are_not_touched(load):
    net = make(load, Virtio(memory=0x0020_0000))
    assert net.init(net.mac) == ENOENT


def test_a_table_of_messages_out_of_reach_leaves_the_line(load):
    card = Virtio()
    card.bars[1] = Bar(4096, 0x0020_0000)
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert not card.messages_on
    exchange(net, card)


def test_configuration_beyond_its_structure_reads_as_nothing(load):
    def caps(card):
        card.vendor_cap(COMMON, 4, 0x0000, 0x1000)
        card.vendor_cap(ISR, 4, 0x1000, 1)
        card.vendor_cap(DEVICE, 4, 0x2000, 6)
        card.vendor_cap(NOTIFY, 4, 0x3000, 0x1000, 4)

    card = Virtio(caps=caps)
    net = make(load, card)
    assert net.init(net.mac) == OK
    assert net.link() == 0
    assert VENDOR_CAP in card.config
