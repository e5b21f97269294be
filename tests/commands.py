"""The command line as the tests call it: in this process, with its exit status checked."""

from click.testing import CliRunner

from lnet.cli import main


def lnetc(*arguments, status=0):
    """Run `lnetc` and return what it printed; it never shows a traceback."""
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == status, result.output
    assert not result.exception or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result
