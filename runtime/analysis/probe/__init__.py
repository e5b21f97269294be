"""The probe: how well single neurons of a trained network detect a label it never saw, compared with baselines."""

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
