"""Images: sources, order, preparation and batches."""

from .contents import Contents, skipped
from .dataset import Batch, Dataset, Kept, check_labels, open_frames, open_given
from .feed import feed
from .inventory import other_images
from .labels import Readout, order_classes
from .pixels import Corrupt
from .samples import Samples

__all__ = [
    "Batch",
    "Contents",
    "Corrupt",
    "Dataset",
    "Kept",
    "Readout",
    "Samples",
    "check_labels",
    "feed",
    "open_frames",
    "open_given",
    "order_classes",
    "other_images",
    "skipped",
]
