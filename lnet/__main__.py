"""`lnetc`, and `python -m lnet`."""

from lnet.runtime.stopping import command


def main() -> None:
    """Run the command that the arguments name; signals end it in order from the first import on."""
    with command():
        from lnet.cli import main as lnetc

        lnetc(prog_name="lnetc")


if __name__ == "__main__":
    main()
