"""Hardware in the loop: a pytest plugin whose tests run on a board, a virtual board or in QEMU.

`plugin` has options and fixtures, `rig` one test's set-up, `target*` what a board can be; scenarios
for any gateway are in the repository's hil/.
"""
