"""Preparation of images as a network's training prepared them."""

from __future__ import annotations

import torch
from torch import Tensor


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
