"""CAAM's random numbers against a model of the device and of an incoherent cache: see
caam_rng_model.py."""

import pytest
from caam_rng_model import CCB_RNG, HARDWARE, JRCFG_LS, Model

from edgeuk.catalog import find_board, load_catalog

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5


@pytest.fixture(params=[False, True], ids=["kept", "evicted"])
def rng(load, request):
    def make(model, status=OK, **props):
        model.evicts = request.param
        device = load("caam_rng", model, **props)
        model.attach(device.state_address)
        assert device.init() == status
        return device

    return make


def read(device, length=32):
    room = device.room(length + 4)
    status = device.read(room, length)
    assert room.raw[length:] == b"\xee" * 4
    return room.raw[:status] if status > 0 else status


@pytest.mark.parametrize("length", [1, 15, 16, 17, 32, 100])
def test_bytes_are_the_generators_and_each_16_have_a_fresh_seed(rng, length):
    model = Model()
    assert read(rng(model), length) == model.given[:length]
    assert model.jobs == [(0, True)] * -(-length // 16)


@pytest.mark.parametrize("ring", [0, 1, 2])
def test_another_job_ring(rng, ring):
    model = Model(ring=ring)
    device = rng(model, ring=ring)
    assert read(device) + read(device) == model.given


def test_what_a_boot_loader_left_in_the_ring_is_gone(rng):
    model = Model()
    model.pending, model.done = (0x1234, 0), 1
    device = rng(model)
    assert model.resets == 1
    assert model.jr[JRCFG_LS] & 1
    assert read(device) == model.given
    assert device.init() == OK
    assert len(read(device)) == 32


@pytest.mark.parametrize("page0", ["closed", "fatal"])
def test_where_another_world_has_set_it_up_the_job_ring_is_enough(rng, page0):
    model = Model(ring=1, page0=page0)
    assert read(rng(model, ring=1)) == model.given


@pytest.mark.parametrize("page0", ["closed", "fatal"])
def test_a_handle_that_does_not_take_fresh_seeds_is_used_as_it_is(rng, page0):
    model = Model(handle=False, page0=page0)
    assert read(rng(model)) == model.given
    assert model.jobs == [(0, True), (0, False)] * 2


@pytest.mark.parametrize(
    ("delay", "kicks"), [(3200, [3200]), (3201, [3200, 6400]), (12_800, [3200, 6400, 12_800])]
)
def test_a_handle_that_nobody_has_set_up_is_set_up(rng, delay, kicks):
    """With longer samples until the noise passes its tests; for fresh seeds."""
    model = Model(handle=None, delay=delay)
    assert read(rng(model)) == model.given
    assert model.kicks == kicks
    assert model.handle is True


def test_one_whose_set_up_ended_well_but_is_not_there_is_set_up_again(rng):
    model = Model(handle=None)
    model.forgets = True
    assert read(rng(model)) == model.given
    assert model.kicks == [3200, 6400]


@pytest.mark.parametrize("cause", ["noise", "closed"])
def test_where_it_cannot_be_set_up_there_is_nothing(rng, cause):
    model = Model(handle=None, **({"delay": 12_801} if cause == "noise" else {"page0": "closed"}))
    device = rng(model)
    start = model.now
    assert read(device) == EIO
    assert model.now - start < 4_100_000
    assert model.given == b""


def test_noise_that_fails_its_tests_is_tried_again(rng):
    model = Model()
    device = rng(model)
    model.errors = [CCB_RNG | 2 << 8 | HARDWARE] * 2
    assert read(device) == model.given


@pytest.mark.parametrize(
    "status", [CCB_RNG | 0x200 | HARDWARE, CCB_RNG | 0x20C, 0x4000_021C, 0x7000_0000, 0x8000_0000]
)
def test_a_job_that_fails_hands_out_nothing(rng, status):
    model = Model(page0="fatal")
    device = rng(model)
    model.errors = [status] * 3
    room = device.room(32)
    assert device.read(room, 32) == EIO
    assert room.raw == b"\xee" * 32
    assert len(model.jobs) == 3
    assert read(device) == model.given


def test_a_ring_that_never_answers_is_left_after_four_seconds(rng):
    """Before the kernel's watchdog, whose time is 8 s; what was asked for does not come later."""
    model = Model()
    device = rng(model)
    model.silent = True
    start = model.now
    assert read(device) == ETIMEDOUT
    assert 3_900_000 < model.now - start < 4_100_000
    assert model.resets == 2
    assert model.pending is None
    model.silent = False
    assert read(device) == model.given


def test_a_set_up_that_never_answers_ends_as_well(rng):
    model = Model(handle=None)
    device = rng(model)
    real = model.start

    def start():
        real()
        model.silent = len(model.jobs) > 0

    model.start = start
    began = model.now
    assert read(device) in (EIO, ETIMEDOUT)
    assert model.now - began < 4_100_000


@pytest.mark.parametrize("lack", ["never_halts", "never_resets"])
def test_a_ring_that_neither_answers_nor_can_be_reset_gets_no_second_job(rng, lack):
    """A job that is late would write to where the next one does, and answer for it."""
    model = Model()
    device = rng(model)
    model.silent = True
    setattr(model, lack, True)
    assert read(device) == ETIMEDOUT
    starts = []
    model.start = lambda: starts.append(model.now)
    assert read(device) == EIO
    assert starts == []


def test_a_set_up_that_never_answers_is_not_begun_again(rng):
    """The noise source is not set up anew under a job that may still use it."""
    model = Model(handle=None)
    device, start = rng(model), model.start

    def starts():
        start()
        model.silent = model.load(model.pending[0], 2)[1] >> 2 & 3 == 1

    model.start = starts
    assert read(device) == ETIMEDOUT
    assert model.kicks == [3200]


@pytest.mark.parametrize("lack", ["never_halts", "never_resets"])
def test_a_ring_that_cannot_be_reset_is_said(rng, lack):
    model = Model()
    setattr(model, lack, True)
    rng(model, status=EIO)


@pytest.mark.parametrize("chavid", [0, 0x1003_0000])
def test_where_there_is_none_nothing_is_touched(rng, chavid):
    model = Model(page0="fatal")
    model.chavid = chavid
    before = dict(model.jr)
    rng(model, status=ENOENT)
    assert (model.jr, model.flushed) == (before, False)


@pytest.mark.parametrize("alien", ["another", "silent"])
def test_an_answer_for_another_job_is_none(rng, alien):
    model = Model()
    device = rng(model)
    assert len(read(device)) == 32
    model.alien = alien
    assert read(device) == ETIMEDOUT
    model.alien = ""
    assert len(read(device)) == 32


def test_a_job_that_wrote_nothing_hands_out_nothing(rng):
    model = Model()
    device = rng(model)
    first = read(device)
    model.unwritten = True
    assert read(device) == EIO
    model.unwritten = False
    assert read(device) != first


def test_the_same_block_twice_is_refused(rng):
    model = Model()
    device = rng(model)
    model.repeats = True
    assert read(device, 32) == EIO
    model.unwritten = True
    assert read(device, 16) == EIO  # it is not handed out later either


def test_what_was_handed_out_stays_nowhere_else(rng):
    model = Model()
    device = rng(model)
    data = read(device)
    assert data[16:] not in model.cached()
    assert data[:16] not in model.cached()


def rows(board):
    words = find_board(load_catalog(), board).devices["clocks"].props["setup"]
    return {words[i]: (words[i + 1], words[i + 2]) for i in range(0, len(words), 3)}


def test_imx6ul_opens_its_clock_gates_and_uses_the_first_ring():
    """CCM_CCGR0: CAAM's memory, bus and register clocks (U-Boot, arch-mx6/crm_regs.h)."""
    clears, sets = rows("imx6ul-evk")[0x020C_4068]
    assert sets & 0x3F00 == 0x3F00
    assert not clears & 0x3F00
    device = find_board(load_catalog(), "imx6ul-evk").devices["rng"]
    assert (device.props["base"], device.props["ring"]) == (0x0214_0000, 0)


def test_imx8mp_leaves_the_first_ring_to_the_secure_world():
    """TF-A keeps ring 0 for the boot ROM's HAB (plat/imx/imx8m/imx8m_caam.c). The clock always runs
    (U-Boot, imx8m/clock_imx8mm.c)."""
    device = find_board(load_catalog(), "imx8mp-evk").devices["rng"]
    assert (device.props["base"], device.props["ring"]) == (0x3090_0000, 1)
