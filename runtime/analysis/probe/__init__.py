"""The probe: how well single neurons of a trained network detect a label it never saw, compared with baselines."""

from .naming import Accuracy, accuracy, names_labels
from .probe import probe
from .result import Choice, Finding, Histogram, Probe, Row, free_name, read_probes, save_probe
from .scores import Figures
from .table import accuracy_text, probe_text

__all__ = [
    "Accuracy",
    "Choice",
    "Figures",
    "Finding",
    "Histogram",
    "Probe",
    "Row",
    "accuracy",
    "accuracy_text",
    "free_name",
    "names_labels",
    "probe",
    "probe_text",
    "read_probes",
    "save_probe",
]
