"""The site: the documents as pages, and the playground; `make site` builds it in the folder `site`.

Fails for a link that leads nowhere, and for anything that a page would fetch from elsewhere.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from docs import links, pages
from docs.playground import pack

ROOT = Path(__file__).parents[1]


def build(work: Path) -> Path:
    """Build the site in a folder for its parts, and return its own; raises `SystemExit` if something is wrong with it."""
    shutil.rmtree(work / "pages", ignore_errors=True)
    examples = pack.examples()
    try:
        parts = pages.pages(playable=examples)
    except pages.BrokenLink as broken:
        sys.exit(str(broken))
    parts["site.css"] = (ROOT / "docs/site.css").read_bytes()
    for path, content in parts.items():
        file = work / "pages" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    shutil.copy(ROOT / "docs/zensical.toml", work)
    site = work / "site"
    shutil.rmtree(site, ignore_errors=True)
    if subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean"], cwd=work
    ).returncode:
        sys.exit("the pages cannot be built")
    pack.write(site, work, examples)
    if wrong := list(links.faults(site)):
        sys.exit("\n".join(wrong))
    return site


if __name__ == "__main__":
    built = build(ROOT / "build/site")
    shutil.rmtree(ROOT / "site", ignore_errors=True)
    built.rename(ROOT / "site")
