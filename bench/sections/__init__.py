"""One module per section; each has `measure(bench)`, which yields rows as they are ready."""
