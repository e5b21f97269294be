"""`python -m lnet` is `lnetc`."""

from .cli import main

main(prog_name="lnetc")
