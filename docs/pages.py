"""The documents of the repository as pages of the site, in the same folders.

A README is the first page of its folder. What a document links to becomes a page too: a program, a network, a notebook;
and a folder of examples without a README a list of them. Networks open in the playground. Links that lead nowhere are
errors.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Collection
from os.path import normpath
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURES = (".png", ".svg")
LANGUAGES = {".lnet": "lnet", ".py": "python", ".toml": "toml", ".yaml": "yaml", ".service": "ini"}
SKIPPED_OR_LINK = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)$|(?P<before>\[[^\]\n]*\]\()(?P<path>[^)#\s]*)(?P<after>[^)\s]*\))|`[^`]+`",
    re.MULTILINE | re.DOTALL,
)
"""A block or a piece of code, in which nothing is a link, or a link; its text may have code in it."""


class BrokenLink(Exception):
    """A document links to what does not exist."""


def documents(root: Path = ROOT) -> list[str]:
    """Return the paths of the documents that are pages, relative to the repository."""
    found = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    found += sorted((root / "docs").glob("*.md")) + sorted((root / "examples").glob("*/README.md"))
    return [str(path.relative_to(root)) for path in found]


def pages(root: Path = ROOT, playable: Collection[str] = ()) -> dict[str, bytes]:
    """Return pages and pictures by their paths on the site; raises `BrokenLink`.

    `playable`: files that the playground opens, by links from their pages and that of their folder.
    """
    waiting, found = documents(root), dict[str, bytes]()
    while waiting:
        path = waiting.pop()
        page = page_of(path)
        if page in found:
            continue
        if path.endswith(PICTURES):
            found[page] = (root / path).read_bytes()
            continue
        text, linked = with_links(path, _text(root, path), root)
        shown = [each for each in playable if each == path or path == f"{each.rpartition('/')[0]}/README.md"]
        if shown:
            text += f"\nIn the playground: {', '.join(_opens(each, page) for each in shown)}.\n"
        found[page] = text.encode()
        waiting += linked
    return found


def _opens(file: str, page: str) -> str:
    """Return a link to the playground with a file in it."""
    return _anchor(f"file={file}", file.rpartition("/")[2], page)


def _opened(block: str, page: str) -> str:
    """Return a block of a page; one that is a network with a link to the playground, which holds its text."""
    network = re.fullmatch(r"```lnet\n(.*\n)```", block, re.DOTALL)
    if network is None:
        return block
    packed = urlsafe_b64encode(zlib.compress(network[1].encode(), wbits=-15)).decode().rstrip("=")
    return f"{block}\n\n{_anchor(f'file=model.lnet&amp;text={packed}', 'Open it in the playground', page)}"


def _anchor(what: str, text: str, page: str) -> str:
    return f'<a href="{_relative("playground.html", page)}#{what}">{text}</a>'


def page_of(path: str) -> str:
    """Return the path of the page that shows a file or a folder."""
    folder, _, name = path.rpartition("/")
    if path == "examples":
        return "examples/index.md"
    if name == "README.md":
        return f"{folder}/index.md" if folder else "index.md"
    return path if path.endswith((".md", *PICTURES)) else f"{path}.md"


def with_links(path: str, text: str, root: Path) -> tuple[str, list[str]]:
    """Return a page with its links as they are on the site, and the files that they lead to; raises `BrokenLink`."""
    linked = []
    here = page_of(path)

    def link(found: re.Match[str]) -> str:
        if found["before"] is None:  # code, where a table of GitHub's has `\|` for `|`
            return _opened(found[0], here) if found["fence"] else found[0].replace("\\|", "|")
        target = found["path"]
        if not target or ":" in target:
            return found[0]
        file = _file(normpath(f"{here}/../{target}"), root)
        if file is None:
            raise BrokenLink(f"'{path}' links to '{target}', which does not exist")
        linked.append(file)
        return found["before"] + _relative(page_of(file), here) + found["after"]

    return SKIPPED_OR_LINK.sub(link, text), linked


def _file(path: str, root: Path) -> str | None:
    """Return the file that a path leads to; for a folder, its README, or the folder of examples itself."""
    if not (root / path).is_dir():
        return path if (root / path).is_file() else None
    readme = f"{path}/README.md"
    return readme if (root / readme).is_file() else path if path == "examples" else None


def _relative(page: str, here: str) -> str:
    return "../" * here.count("/") + page


def _text(root: Path, path: str) -> str:
    """Return a file as Markdown."""
    file = root / path
    if file.is_dir():
        return _list_of(file)
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return re.sub(r"^(```\w+) .+$", r"\1", text, flags=re.MULTILINE)  # words for tests alone
    if file.suffix == ".ipynb":
        return _notebook(path, json.loads(text))
    return f"# {path}\n\n{_block(text, LANGUAGES.get(file.suffix, 'text'))}"


def _block(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````\n"


def _notebook(path: str, notebook: dict[str, list[dict[str, list[str] | str]]]) -> str:
    """Return the cells of a notebook, without what they printed."""
    cells = [f"# {path}"]
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        is_network = text.startswith("%%lnet")
        cells.append(
            text if cell["cell_type"] == "markdown" else _block(text, "lnet" if is_network else "python")
        )
    return "\n\n".join(cells)


def _list_of(folder: Path) -> str:
    """Return the list of examples, by the titles of their documents."""
    entries = [
        f"- [{readme.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}]({readme.parent.name})"
        for readme in sorted(folder.glob("*/README.md"))
    ]
    return "\n".join(("# Examples", "", *entries, ""))
