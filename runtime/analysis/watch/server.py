"""The server of the page: on this machine's loopback address alone, and for programs of this machine alone.

    /          the page, the same for all runs
    /events    server-sent events: each a list of all messages (board.py) since the one before

A name that a stranger's page resolves to 127.0.0.1 (DNS rebinding) is in the Host header, so no other name than this
machine's own is answered. No part of an address is a path of a file.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .board import Board

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost", "::1")
"""Names of this machine, as a browser on it writes them, at the end of a tunnel too."""
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
}
QUIET = 15.0
"""Seconds without news after which a comment is sent, so that a reader that is gone is noticed."""


class PageServer(ThreadingHTTPServer):
    """Serves a page and the messages of a board; port 0 is a free one. Raises OSError."""

    daemon_threads = True

    def __init__(self, port: int, page: str, board: Board) -> None:
        self.page, self.board = page.encode(), board
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a reader that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = 60  # seconds to read a request or to write to a reader that has stopped reading

    def do_GET(self) -> None:
        if not _is_own(self.headers.get("Host", "")):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", b"the page is for this machine alone\n")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", self.server.page)
        elif self.path == "/events":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"there is only one page: /\n")

    def _head(self, status: HTTPStatus, kind: str) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": f"{kind}; charset=utf-8"}.items():
            self.send_header(name, value)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self._head(status, kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        board, seen = self.server.board, 0
        with board.reading():
            self._head(HTTPStatus.OK, "text/event-stream")
            self.end_headers()
            while (news := board.newer(seen, QUIET)) is not None:
                seen, messages = news
                self.wfile.write(f"data: [{','.join(messages)}]\n\n".encode() if messages else b":\n\n")

    def version_string(self) -> str:
        return "lnetc"

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _is_own(host: str) -> bool:
    """Whether a Host header names this machine, at any port: a tunnel may begin at another one."""
    try:
        return urlsplit(f"//{host}").hostname in NAMES
    except ValueError:
        return False
