"""Virtual boards: emulated microcontrollers that a debugger can flash, run and stop.

A daemon per board (`daemon`) owns what stands for the silicon (`engine_qemu`, `engine_unicorn`),
Arm's debug logic on top of it (`cortex_m`, `swd`) and the flash content; `plugin` is the probe that
pyOCD finds, `client` everybody else's way in.
"""
