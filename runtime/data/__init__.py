"""Images: where they lie, how they become batches, and in which order."""

from .contents import Contents, skipped
from .dataset import Batch, Dataset, Kept, check_labels, open_array, open_frames, other_images
from .feed import feed
from .labels import Readout, order_classes

__all__ = [
    "Batch",
    "Contents",
    "Dataset",
    "Kept",
    "Readout",
    "check_labels",
    "feed",
    "open_array",
    "open_frames",
    "order_classes",
    "other_images",
    "skipped",
]
