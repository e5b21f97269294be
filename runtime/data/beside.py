"""Labels in files beside images, as WebDataset has them: in a folder, or in an archive.

    0001.cls     a label, an integer or a text                     0001.jpg, 0001.left.jpg, 0001.right.jpg
    0001.json    the same, or an object with the key `label`
    0001.txt     a label

The first of these kinds that stands beside an image counts for all images of the folder or archive.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from posixpath import basename, dirname, normpath

from lnet.dsl.diagnostics import LnetError, refused

from .pixels import Corrupt

CLASS, JSON, TEXT = SUFFIXES = (".cls", ".json", ".txt")
EITHER = "either"
"""Where the labels of a set are that a network is shown: `file` where there are such files, else `folder`."""
KEY = "label"
MOST = 2**20
"""No label has more bytes than this."""


@dataclass(frozen=True)
class Beside:
    """The labels of images, and the suffix and number of the files that they are read from."""

    labels: list[str]
    suffix: str
    files: int


def folder_of(name: str) -> str:
    """Return the name of the folder that an image lies in; empty for one that lies in none."""
    return basename(dirname(normpath(name)))


def label_files(name: str, suffix: str) -> tuple[str, str]:
    """Return the files that may hold the label of an image: `a.left.cls` and `a.cls` for `a.left.jpg`."""
    path = PurePosixPath(name)
    folder = name[: len(name) - len(path.name)]
    return folder + path.stem + suffix, folder + path.name.split(".")[0] + suffix


def label_suffixes(names: Iterable[str], asked: str | None) -> tuple[str, ...]:
    """Return the suffixes of the files that may hold labels, where `labels` = `asked`, the first to be preferred.

    With `folder` they are all of them only if no image lies in one: captions beside images are no classes. `EITHER` is
    `file` where there are such files, and `folder` where there are none.
    """
    if asked is None:
        return ()
    return SUFFIXES if asked in ("file", EITHER) or not any(map(folder_of, names)) else (CLASS,)


def labels_beside(
    names: Sequence[str],
    has: Callable[[str], bool],
    read: Callable[[str], bytes],
    asked: str | None,
    where: Path,
) -> Beside | None:
    """Return the labels in files beside images; None if there are no such files.

    `has`: whether there is a file of some name; `read` returns its bytes. Raises `LnetError` for images that have none.
    """
    for suffix in label_suffixes(names, asked):
        files = [next(filter(has, label_files(name, suffix)), None) for name in names]
        if any(files):
            break
    else:
        return None
    if None in files:
        raise _alone(names[files.index(None)], suffix, where)
    labels = {file: _label(read, file, suffix, where) for file in dict.fromkeys(filter(None, files))}
    return Beside([labels[file] for file in files if file is not None], suffix, len(labels))


def _alone(name: str, suffix: str, where: Path) -> LnetError:
    message = f"other images in '{where}' have a '{suffix}' file beside them, '{name}' has none"
    hint = (
        f"add '{label_files(name, suffix)[0]}', or remove all '{suffix}' files to take the names of folders"
    )
    return refused("E707", message, hint=hint)


def _label(read: Callable[[str], bytes], name: str, suffix: str, where: Path) -> str:
    try:
        text = read(name).decode("utf-8-sig").strip()
    except (Corrupt, UnicodeDecodeError) as error:
        raise refused("E707", f"the label '{name}' in '{where}' is not text", str(error)) from error
    if len(text) > MOST:
        raise _no_label(name, where, f"it has {len(text):,} characters")
    if suffix == JSON:
        text = _of_json(text, name, where)
    if not text or "\n" in text or "\0" in text:
        found = "it is empty" if not text else "it has several lines" if "\n" in text else "it has zero bytes"
        raise _no_label(name, where, found)
    return text


def _of_json(text: str, name: str, where: Path) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_label(name, where, f"it is not JSON: {error}") from error
    if isinstance(found, dict):
        if KEY not in found:
            keys = ", ".join(f"'{key}'" for key in list(found)[:20]) or "none"
            raise _no_label(name, where, f"it has no key '{KEY}'; its keys are {keys}")
        found = found[KEY]
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise _no_label(name, where, f"its label is {json.dumps(found)[:60]}, neither an integer nor a text")
    return str(found).strip()


def _no_label(name: str, where: Path, found: str) -> LnetError:
    under = f", by itself or under the key '{KEY}'" if name.endswith(JSON) else ""
    hint = f"write one label into it{under}"
    return refused("E707", f"'{name}' in '{where}' holds no label", found, hint=hint)
