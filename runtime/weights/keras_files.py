"""Weights in Keras's files, through h5py (an optional extra).

.h5            layers in the order that `layer_names` says, arrays in that of `weight_names`   conv/kernel, conv/bias
.weights.h5    numbered arrays of layers in no order: sorted by name and number                conv2d/0, conv2d/1
.keras         a zip file of the second, and the layers in order in `config.json`
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from lnet.dsl.diagnostics import refused

from .foreign import KERAS, Array, Foreign, ForeignArray, foreign, unreadable

Open = Callable[[], Any]
"""Opens the HDF5 file, whether it is one of its own or a member of a zip file."""
_BESIDE = {"optimizer", "seed_generator"}
"""Groups of arrays that are no weights."""
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies", "model_weights")


def open_hdf5(path: Path) -> Foreign:
    """Open an HDF5 file that Keras 2 or 3 wrote; raises `LnetError`."""
    return _opened(path, partial(_hdf5, path), ())


def open_keras(path: Path) -> Foreign:
    """Open a `.keras` file; raises `LnetError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            archive.getinfo("model.weights.h5")
        layers = [(layer["config"]["name"], layer["class_name"]) for layer in config["config"]["layers"]]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, f"Keras did not save it: {error}") from error

    def member() -> Any:
        with zipfile.ZipFile(path) as archive:
            return _hdf5(io.BytesIO(archive.read("model.weights.h5")))

    return _opened(path, member, _stored_names(layers))


def _opened(path: Path, file: Open, order: tuple[tuple[str, str], ...]) -> Foreign:
    try:
        with file() as root:
            listed = _by_layer_names(root)
            names = listed or list(_numbered(root, order))
            shapes = {name: tuple(root[place].shape) for name, place in names}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise unreadable(path, str(error)) from error

    def read(place: str) -> Array:
        try:
            with file() as root:
                return np.asarray(root[place])
        except (OSError, KeyError) as error:
            raise unreadable(path, str(error)) from error

    arrays = [ForeignArray(name, shapes[name], partial(read, place)) for name, place in names]
    return foreign(path, KERAS, arrays, ordered=bool(listed or order))


def _hdf5(file: Path | io.BytesIO) -> Any:
    try:
        import h5py
    except ImportError:
        raise refused(
            "E756",
            "reading the weights of HDF5 files needs h5py",
            hint="install it with: pip install 'lnetc[hdf5]'",
        ) from None
    return h5py.File(file, "r")


def _by_layer_names(root: Any) -> list[tuple[str, str]]:
    """Return names and places of arrays as Keras 2 lists them, or nothing."""
    group = root.get("model_weights", root)
    found = []
    for layer in _texts(group, "layer_names"):
        for place in _texts(group[layer], "weight_names"):
            name = place.partition(":")[0].removeprefix(f"{layer}/")
            found.append((f"{layer}/{name}", f"{group.name}/{layer}/{place}"))
    return found


def _numbered(root: Any, order: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str]]:
    """Yield names and places of arrays as Keras 3 numbers them, in the order of the layers if it is known."""
    places: dict[str, list[str]] = {}

    def visit(place: str, node: Any) -> None:
        parts = place.split("/")
        if hasattr(node, "shape") and len(parts) > 2 and parts[-2] == "vars" and not _BESIDE & {*parts}:
            layer = "/".join(part for part in parts[:-2] if part not in _CONTAINERS)
            places.setdefault(layer, []).append(place)

    root.visititems(visit)
    known = {stored: name for name, stored in order}
    ranks = {stored: rank for rank, stored in enumerate(known)}
    for layer in sorted(places, key=lambda layer: (ranks.get(layer, len(ranks)), _natural(layer))):
        for place in sorted(places[layer], key=_natural):
            yield f"{known.get(layer, layer)}/{place.rpartition('/')[2]}", f"/{place}"


def _stored_names(layers: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return layers with the names under which Keras stores them: of their class, counted, or their own if free."""
    counts: dict[str, int] = {}
    found: list[tuple[str, str]] = []
    for name, kind in layers:
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
        stored = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        number = counts.get(stored, 0)
        counts[stored] = number + 1
        found.append((name, f"{stored}_{number}" if number else stored))
    counted = {stored for _, stored in found}
    return (*found, *((name, name) for name, _ in layers if name not in counted))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `conv2d` before `conv2d_2` before `conv2d_10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _texts(node: Any, name: str) -> Iterator[str]:
    """Yield an attribute's texts: if they are many, Keras writes them into `name0`, `name1`, ..."""
    parts = (
        [name] if name in node.attrs else takewhile(node.attrs.__contains__, (f"{name}{k}" for k in count()))
    )
    for part in parts:
        yield from (text.decode() if isinstance(text, bytes) else str(text) for text in node.attrs[part])
