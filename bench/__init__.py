"""Measurements of edgeuk beside their goals, QEMU's floor and what one would use instead."""
