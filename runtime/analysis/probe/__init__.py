"""Which neurons of a trained network tell a label that it never saw, beside what simpler things do."""

from .probe import probe
from .result import Choice, Finding, Histogram, Probe, Row, free_name, read_probes, save_probe
from .scores import Figures
from .table import probe_text

__all__ = [
    "Choice",
    "Figures",
    "Finding",
    "Histogram",
    "Probe",
    "Row",
    "free_name",
    "probe",
    "probe_text",
    "read_probes",
    "save_probe",
]
