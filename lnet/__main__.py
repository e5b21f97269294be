"""`lnetc`, and `python -m lnet`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # no traceback out of the imports: there is nothing yet to end in order

from lnet.runtime.process.stopping import command


def main() -> None:
    """Run the command that the arguments name; signals end it in order from here on."""
    with command():
        from .cli import main as lnetc

        lnetc(prog_name="lnetc")


if __name__ == "__main__":
    main()
