"""A real browser for the tests: Debian's Chromium, headless, without a network."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no chromium on this machine")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
]


def open_page(path: Path, script: str = "", width: int = 1200, dark: bool = False) -> str:
    """Open a page so wide, run a script in it, and return the document as it stands then."""
    with tempfile.TemporaryDirectory(prefix="lnet-chromium-") as folder:
        page = path
        if script:
            page = Path(folder) / "page.html"
            text = path.read_text(encoding="utf-8")
            assert "</body>" in text
            page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
        return open_address(page.as_uri(), width, dark)


def open_address(address: str, width: int = 1200, dark: bool = False) -> str:
    """Open what is at an address, and return the document as it stands when five seconds have passed in it."""
    with tempfile.TemporaryDirectory(prefix="lnet-chromium-") as profile:
        own = [f"--user-data-dir={profile}", f"--window-size={width},1600"]
        own += ["--blink-settings=preferredColorScheme=0"] if dark else []
        command = [str(BROWSER), *FLAGS, *own, "--dump-dom", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
