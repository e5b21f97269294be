"""The command that an editor starts: lsp."""

from __future__ import annotations

from lnet.dsl.diagnostics import refused

from .program import main


@main.command()
def lsp() -> None:
    """Speak the Language Server Protocol with an editor.

    It reads stdin and writes stdout, and docs/editors.md says how an editor starts it. It needs: pip install 'lnetc[lsp]'.
    """
    try:
        from .language_server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        hint = "install it with: pip install 'lnetc[lsp]'"
        raise refused("E787", "the language server needs 'pygls'", str(error), hint=hint) from error
    serve()
