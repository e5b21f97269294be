"""Weights in PyTorch's files: a zip file of raw arrays, and a pickle that says which they are.

The pickle is read with a table of the few names that a `state_dict` needs, all of them functions below: no code of the
file, and none of PyTorch's, is run.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .foreign import TORCH, Array, Foreign, ForeignArray, foreign, unreadable

_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("<i1"),
    "ByteStorage": np.dtype("<u1"),
    "BoolStorage": np.dtype("?"),
}
_SAVE = "save it with: torch.save(model.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class _Tensor:
    """Where an array lies in a member of the archive."""

    dtype: np.dtype[Any]
    member: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def open_torch(path: Path) -> Foreign:
    """Open a `state_dict` that `torch.save` wrote since PyTorch 1.6; raises `LnetError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            (index,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
            folder = index.removesuffix("data.pkl")
            order = f"{folder}byteorder"
            swapped = order in archive.namelist() and archive.read(order) == b"big"
            with archive.open(index) as file:
                found = _StateDict(file).load()
    except (zipfile.BadZipFile, ValueError) as error:
        raise unreadable(path, f"PyTorch 1.6 or later did not save it: {error}", _SAVE) from error
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise unreadable(path, f"it holds more than arrays: {error}", _SAVE) from error
    tensors = _tensors(found)
    if tensors is None:
        raise unreadable(path, "there is no state_dict in it", _SAVE)
    arrays = [
        ForeignArray(name, tensor.shape, partial(_read, path, folder, tensor, swapped))
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    ]
    return foreign(path, TORCH, arrays)


def _tensors(found: Any) -> Mapping[str, _Tensor] | None:
    """Return the state_dict among what a file holds: all of it, or the one entry that is one."""
    if not isinstance(found, Mapping):
        return None
    named = {name: value for name, value in found.items() if isinstance(name, str)}  # numbers: an optimiser's
    own = {name: value for name, value in named.items() if isinstance(value, _Tensor)}
    if own:
        return own
    within = [inner for inner in map(_tensors, named.values()) if inner]
    return within[0] if len(within) == 1 else None


def _read(path: Path, folder: str, tensor: _Tensor, swapped: bool) -> Array:
    try:
        with zipfile.ZipFile(path) as archive:
            data = np.frombuffer(archive.read(f"{folder}data/{tensor.member}"), tensor.dtype)
            data = data.byteswap() if swapped else data
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise unreadable(path, str(error)) from error
    reach = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.strides, strict=True))
    if not 0 <= tensor.offset <= tensor.offset + reach < len(data) or min(tensor.strides, default=0) < 0:
        raise unreadable(path, "an array reaches beyond its data")
    bytes_apart = [stride * data.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(data[tensor.offset :], tensor.shape, bytes_apart, writeable=False)
    return np.ascontiguousarray(view)


class _StateDict(pickle.Unpickler):
    """Reads dictionaries, texts, numbers and places of arrays, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"'{module}.{name}'")
        return known[module, name]

    def persistent_load(self, place: Any) -> tuple[np.dtype[Any], str]:
        kind, dtype, member, *_ = place
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"an object of the type '{kind}'")
        return dtype, str(member)


def _tensor(storage: tuple[np.dtype[Any], str], offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    dtype, member = storage
    found = _Tensor(dtype, member, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
    if len(found.shape) != len(found.strides) or min(found.shape, default=0) < 0:
        raise pickle.UnpicklingError(f"an array of shape {found.shape}")
    return found


def _parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor
