"""`lnetc`, and `python -m lnet`."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # no traceback from the imports: nothing needs an orderly stop yet

from lnet.runtime.process.stopping import command


def main() -> None:
    """Run the command line, with an orderly stop on signals."""
    with command():
        from .cli import main as lnetc

        lnetc(prog_name="lnetc")


if __name__ == "__main__":
    main()
