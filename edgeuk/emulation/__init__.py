"""A microcontroller board that no emulator has: its processor on Unicorn, its peripherals as models
of our own, written from the manuals. `python -m edgeuk.emulation` is one running board; the rest
of the SDK starts it as it starts a QEMU. What runs here proves an image's wiring, not the chip.

Unicorn is an extra, as its core is under the GPL: only `memory`, `exceptions`, `core` and
`inspection` import it.
"""
