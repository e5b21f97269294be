"""From the path of `frames(...)` to sources: a folder, a file or a pattern that matches several."""

from __future__ import annotations

import glob
from pathlib import Path

from lnet.dsl.diagnostics import refused

from .sources import ARRAYS, IMAGES, VIDEOS, Arrays, Files, ImageSource, Tar, files_in
from .video import Video


def find_sources(path: str, channels: int, base: Path) -> list[ImageSource]:
    """Return the sources that a path or pattern, relative to `base`, names; raises `LnetError`."""
    place = base / path
    if place.exists():
        paths = [place]
    elif glob.has_magic(path):
        paths = [Path(match) for match in sorted(glob.glob(str(place), recursive=True))]
        if not paths:
            raise refused("E701", f"nothing matches the pattern '{path}'", f"looked for in '{base}'")
    else:
        raise refused(
            "E701",
            f"there is no file or folder '{path}'",
            f"looked for in '{base}'",
            hint="a path in a .lnet file is relative to that file, one of a command to the current folder",
        )
    sources = [_open(path, channels) for path in paths]
    if not any(len(source.names) for source in sources):
        kinds = " ".join(sorted(IMAGES | {".tar"} | ARRAYS | VIDEOS))
        raise refused("E702", f"there are no images in '{path}'", f"what counts as images: {kinds}")
    return sources


def _open(path: Path, channels: int) -> ImageSource:
    suffix = path.suffix.lower()
    if path.is_dir():
        return files_in(path, channels)
    if suffix == ".tar":
        return Tar(path, channels)
    if suffix in ARRAYS:
        return Arrays(path, channels)
    if suffix in VIDEOS:
        return Video(path, channels)
    if suffix in IMAGES:
        return Files(path.parent, [path.name], channels)
    raise refused("E702", f"'{path}' is neither a folder nor an image, archive, array or video file")
