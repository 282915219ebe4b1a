"""Semihosting driver: what it asks of the emulator."""

import ctypes
import struct

import pytest


class Model:
    def __init__(self):
        self.calls = []

    def semihosting(self, operation, argument):
        size = ctypes.sizeof(ctypes.c_size_t)
        block = ctypes.string_at(argument, 2 * size)
        self.calls.append((operation, struct.unpack("=2Q" if size == 8 else "=2I", block)))
        return -1  # nobody listens


@pytest.mark.parametrize("code", [0, 1, 101])
def test_exit_reports_the_code_and_returns_where_nobody_listens(load, code):
    model = Model()
    load("semihosting", model).exit(code)
    # SYS_EXIT_EXTENDED (6.6) with ADP_Stopped_ApplicationExit and the code.
    assert model.calls == [(0x20, (0x20026, code))]


def test_reset_is_left_to_the_processor(load):
    model = Model()
    load("semihosting", model).reset()
    assert model.calls == []
