"""The frames of a video, through PyAV (an optional extra)."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from lnet.dsl.diagnostics import refused

from .checksums import checksum
from .pixels import Corrupt, Loaded, with_channels
from .samples import Place

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise refused(
            "E709",
            "reading a video needs PyAV, which is not installed",
            hint="install it with: pip install 'lnetc[video]'",
        ) from error
    return av


class Video:
    """The frames of one video by number.

    Only key frames can be decoded alone: other frames are decoded from the key frame before them, and the frames passed
    on the way are returned too, so that they need not be decoded again.
    """

    def __init__(self, path: Path, channels: int) -> None:
        self._av = _pyav()
        self.path, self.channels = path, channels
        try:
            with self._av.open(str(path)) as container:
                stream = container.streams.video[0]
                self._times = sorted(p.pts for p in container.demux(stream) if p.pts is not None)
        except (self._av.error.FFmpegError, OSError, IndexError) as error:
            raise refused("E703", f"'{path}' is not a readable video", str(error)) from error
        self._numbers = {time: number for number, time in enumerate(self._times)}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int) -> Loaded:
        try:
            with self._lock, self._av.open(str(self.path)) as container:
                return self._decode(container, index)
        except self._av.error.FFmpegError as error:
            raise Corrupt(str(error)) from error

    def _decode(self, container: Any, index: int) -> Loaded:
        target = self._times[index]
        stream = container.streams.video[0]
        container.seek(target, stream=stream)
        passed: dict[int, Loaded] = {}
        for frame in container.decode(stream):
            number = self._numbers.get(frame.pts)
            if number is not None:
                colours = frame.to_ndarray(format="rgb24")
                passed[number] = Loaded(with_channels(colours, self.channels), checksum(colours))
            if frame.pts is not None and frame.pts >= target:
                break
        if index not in passed:
            raise Corrupt("the frame cannot be decoded")
        return replace(passed.pop(index), passed=passed)


def open_video(place: Place) -> Video:
    """Open a video; raises `LnetError`."""
    return Video(place.path, place.channels)
