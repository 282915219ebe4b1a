"""Run an image: in QEMU, or as a Linux process; beside it a broker and a view of what arrives."""
