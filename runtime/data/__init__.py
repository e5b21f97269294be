"""Images: where they lie, how they become batches, and in which order."""

from .dataset import Batch, Dataset, check_classes, open_frames
from .feed import feed

__all__ = ["Batch", "Dataset", "check_classes", "feed", "open_frames"]
