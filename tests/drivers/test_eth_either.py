"""The choice between two Ethernet devices, which are played in C: all it does is pass on calls."""

import ctypes as c
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OK, EIO, ENOENT, ETIMEDOUT = 0, -2, -5, -3
CARDS = """
#include "eth_either.h"
int there[2]; // what init() of each says
int calls[2];
static uint8_t room[2][EK_ETH_FRAME_MAX];
static int init(const void *dev, uint8_t mac[6]) {
    int which = *(const int *)dev;
    mac[5] = (uint8_t)(1 + which);
    return there[which];
}
static uint8_t *frame(const void *dev) { return room[*(const int *)dev]; }
static int send(const void *dev, size_t len) { return 10 * *(const int *)dev + (int)len; }
static int receive(const void *dev, uint8_t *frame, size_t size) {
    frame[0] = (uint8_t)(1 + *(const int *)dev);
    return (int)size;
}
static int link(const void *dev) { return 1 + *(const int *)dev; }
static const struct ek_eth_ops ops = {init, frame, send, receive, link};
static const int names[] = {0, 1};
static const struct ek_eth first = {&ops, &names[0]}, second = {&ops, &names[1]};
static struct eth_either_state state;
static const struct eth_either either = {&first, &second, &state};
int try_init(uint8_t mac[6]) { return eth_either_ops.init(&either, mac); }
int which_frame(void) {
    uint8_t *at = eth_either_ops.frame(&either);
    return at ? 1 + (at == room[1]) : 0;
}
int try_send(int len) { return eth_either_ops.send(&either, (size_t)len); }
int try_receive(uint8_t *data) { return eth_either_ops.receive(&either, data, 7); }
int try_link(void) { return eth_either_ops.link(&either); }
"""


@pytest.fixture
def either(tmp_path):
    source, library = tmp_path / "cards.c", tmp_path / "cards.so"
    source.write_text(CARDS)
    folder = ROOT / "edgeuk/drivers/eth_either"
    flags = ["-shared", "-fPIC", "-std=gnu11", "-Wall", "-Werror", f"-I{ROOT}/firmware/include"]
    argv = ["cc", *flags, f"-I{folder}", source, folder / "eth_either.c", "-o", library]
    subprocess.run(argv, check=True, timeout=60)
    return c.CDLL(str(library))


def cards(either, first, second):
    there = (c.c_int * 2).in_dll(either, "there")
    there[:] = [first, second]
    mac = c.create_string_buffer(6)
    return either.try_init(mac), mac.raw[5]


@pytest.mark.parametrize(
    ("first", "second", "status", "chosen"),
    [
        (OK, OK, OK, 1),
        (OK, ENOENT, OK, 1),
        (ENOENT, OK, OK, 2),
        (EIO, OK, EIO, 1),  # it is there, and is started again later
        (ENOENT, ETIMEDOUT, ETIMEDOUT, 2),
    ],
)
def test_the_first_that_is_there_is_used(either, first, second, status, chosen):
    assert cards(either, first, second) == (status, chosen)
    data = c.create_string_buffer(1)
    assert either.which_frame() == chosen
    assert either.try_send(3) == 10 * (chosen - 1) + 3
    assert either.try_receive(data) == 7
    assert data.raw[0] == chosen
    assert either.try_link() == chosen


def test_without_either_nothing_is_sent(either):
    assert cards(either, ENOENT, ENOENT)[0] == ENOENT
    data = c.create_string_buffer(1)
    assert either.which_frame() == 0
    assert either.try_send(60) == EIO
    assert either.try_receive(data) == 0
    assert either.try_link() == 0


def test_starting_again_keeps_the_choice(either):
    assert cards(either, ENOENT, OK) == (OK, 2)
    assert cards(either, ENOENT, OK) == (OK, 2)
    assert either.which_frame() == 2
