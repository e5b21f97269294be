"""Preparation of images as a network's training prepared them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .axis import Pair


def covering(image: Any, size: Pair, channels: int, scaled: bool = False) -> Tensor:
    """Return the middle of an image of Pillow in bytes, `[channel, row, column]`, enlarged if it does not cover `size`.

    `scaled`: larger ones are scaled down, so that they just cover it.
    """
    rows, columns = size
    image = image.convert("RGB" if channels == 3 else "L")
    scale = max(rows / image.height, columns / image.width)
    if scale > 1 or scaled:
        width, height = max(columns, round(image.width * scale)), max(rows, round(image.height * scale))
        image = image.resize((width, height), resample=1)  # Lanczos
    left, top = (image.width - columns) // 2, (image.height - rows) // 2
    image = image.crop((left, top, left + columns, top + rows))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(rows, columns, channels).permute(2, 0, 1)


def unit_range(images: Tensor) -> Tensor:
    """Return images in 0..1."""
    return images if images.is_floating_point() else images / 255


def by_image(images: Tensor) -> Tensor:
    """Subtract each image's mean, divide by its standard deviation + 0.05."""
    deviation, mean = torch.std_mean(images, (1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / (deviation + 0.05)


def by_figures(images: Tensor, mean: list[float], deviation: list[float]) -> Tensor:
    """Subtract each channel's mean of the data set, divide by its standard deviation."""
    channels = (-1, 1, 1)
    return (images - images.new_tensor(mean).view(channels)) / images.new_tensor(deviation).view(channels)


def symmetric(images: Tensor) -> Tensor:
    """Return values of 0..1 in -1..1."""
    return 2 * images - 1
