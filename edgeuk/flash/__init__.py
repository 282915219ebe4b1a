"""Getting an image onto a board: through a debug probe (`cortex_m`), or onto a memory card."""
