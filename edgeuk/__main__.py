"""The `edgeuk` command's first steps; kept free of imports so that `--version` answers at once."""

import sys


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from edgeuk import __version__  # the one import in a function: it is what the speed is for

        print(f"edgeuk {__version__}")
        return
    from edgeuk.cli.app import run

    sys.exit(run())


if __name__ == "__main__":
    main()
