"""matplotlib figures as PNG files and as SVG in a page, and arrays as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO, StringIO
from typing import Any, BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lnet.compiler.files import readable


def literal(text: str) -> str:
    """Return a text that matplotlib shows literally, including dollars and names that are not UTF-8."""
    return readable(text).replace("$", r"\$")


def to_png(figure: Figure) -> bytes:
    """Return a figure as a PNG file on white, the same bytes for the same figure."""
    file = BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def to_svg(figure: Figure, salt: str) -> str:
    """Return a figure as SVG, the same text for the same figure; `salt` makes its ids unique on a page.

    The background is transparent, and black takes the page's text colour, in dark mode too.
    """
    text = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")


def npz(arrays: Mapping[str, NDArray[Any]]) -> Callable[[BinaryIO], None]:
    """Return what writes arrays as an `.npz` file, float64 as float32, without a copy of the file in memory."""

    def write(file: BinaryIO) -> None:
        members = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
        np.savez(file, allow_pickle=False, **members)

    return write
