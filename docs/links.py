"""The links of a built site: those that lead nowhere on it, and all that a page fetches from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""What a browser fetches with a page, without being asked."""


class Page(HTMLParser):
    """The anchors of a page, and its links: each with whether a browser follows it by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {name for name in (given.get("id"), given.get("name")) if name}
        name = FETCHED.get(tag, "href")
        if target := given.get(name):
            self.links.append((target, tag in FETCHED))


@cache
def page(path: Path) -> Page:
    """Return a page of a site, read once."""
    return Page(path.read_text(encoding="utf-8"))


def faults(site: Path) -> Iterator[str]:
    """Yield a sentence for each link of a site that leads nowhere, and each file that a page fetches from elsewhere."""
    for path in sorted(site.rglob("*.html")):
        for target, fetched in page(path).links:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                if fetched and url.scheme != "data":
                    yield f"{path.relative_to(site)} fetches {target}"
            elif not _leads_somewhere(site, path, unquote(url.path), unquote(url.fragment)):
                yield f"{path.relative_to(site)} links to {target}, which does not exist"


def _leads_somewhere(site: Path, here: Path, path: str, fragment: str) -> bool:
    folder = site if path.startswith("/") else here.parent
    to = Path(os.path.normpath(folder / path.lstrip("/"))) if path else here
    if to.is_dir():
        to /= "index.html"
    if not to.is_file():
        return False
    return to.suffix != ".html" or not fragment or "=" in fragment or fragment in page(to).anchors
