"""Every wrong program beside this file is reported as the text beside it says; `UPDATE=1` writes the texts anew."""

import pickle
import re
from pathlib import Path

import pytest
from commands import lnetc
from pinned import pinned

from lnet.dsl.codes import CODES
from lnet.dsl.diagnostics import class_of, refused

HERE = Path(__file__).parent
PROGRAMS = sorted(HERE.glob("*.lnet"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_rendered_text(program, monkeypatch):
    monkeypatch.chdir(HERE)
    warning_only = program.stem.startswith("W")
    result = lnetc("check", program.name, status=0 if warning_only else 1)
    pinned(program.with_suffix(".txt"), result.output)
    first = result.output.splitlines()[0]
    if program.stem[1:4].isdecimal():
        assert program.stem.partition("-")[0] in result.output
    assert re.match(
        rf"({re.escape(program.name)}|included/\w+\.lnet):\d+:\d+: (error|warning) [EW]\d{{3}}: ", first
    )


OUTSIDE_FILES = {
    "E001": "tests/lnet/test_cli.py",
    "E002": "tests/lnet/test_cli.py",
    "E218": "tests/dsl/test_including.py",
    "E511": "tests/compiler/test_overrides.py",
    "E514": "tests/runtime/test_start.py",
    "E516": "tests/runtime/test_export.py",
    "E754": "tests/runtime/test_changes.py",
    "E603": "tests/compiler/test_place.py",
    "E604": "tests/compiler/test_place.py",
    "E605": "tests/compiler/test_plan.py",
    **dict.fromkeys(("E606", "E610"), "tests/test_plugins.py"),
    "E607": "tests/lnet/test_cli.py",
    "E608": "tests/lnet/test_cli.py",
    "E609": "tests/lnet/test_cli.py",
    "E611": "tests/compiler/test_predict.py",
    "E612": "tests/runtime/cluster/test_simulate.py",
    "W606": "tests/lnet/test_cli.py",
    "W607": "tests/lnet/test_cli.py",
    "E714": "tests/runtime/test_forms.py",
    "E715": "tests/runtime/cluster/test_other_images.py",
    "E716": "tests/runtime/test_in_memory.py",
    "E717": "tests/runtime/test_samples.py",
    "E718": "tests/runtime/test_index.py",
    "E719": "tests/runtime/test_figures.py",
    "E720": "tests/runtime/test_network.py",
    **dict.fromkeys(("E711", "E712"), "tests/runtime/test_sources.py"),
    "E713": "tests/runtime/test_labels.py",
    "E732": "tests/runtime/test_unreadable.py",
    **{f"E{number}": "tests/runtime/test_data.py" for number in range(701, 711)},
    **{f"E{number}": "tests/runtime/test_train.py" for number in (730, 731, 746, 747, 748, 751)},
    **{f"E{number}": "tests/runtime/test_run.py" for number in range(740, 746)},
    **{f"E{number}": "tests/runtime/test_start.py" for number in (749, 750)},
    **{f"E{number}": "tests/runtime/cluster/test_cluster.py" for number in range(760, 763)},
    "E763": "tests/runtime/cluster/test_failures.py",
    "E764": "tests/runtime/cluster/test_hopeless.py",
    "E765": "tests/runtime/test_owner.py",
    "E766": "tests/runtime/cluster/test_descriptors.py",
    **{f"E{number}": "tests/runtime/test_probe.py" for number in range(770, 775)},
    "E753": "tests/runtime/test_memory.py",
    "E756": "tests/runtime/test_weights.py",
    "E757": "tests/runtime/test_weights.py",
    "E780": "tests/runtime/test_stimulus.py",
    "E781": "tests/lnet/test_pictures.py",
    "E782": "tests/runtime/test_export.py",
    "E783": "tests/runtime/test_array_sets.py",
    "E784": "tests/runtime/test_sheet.py",
    **dict.fromkeys(("E785", "E786"), "tests/runtime/test_places.py"),
    **dict.fromkeys(("E787", "E788"), "tests/runtime/test_rsa.py"),
    "E789": "tests/runtime/test_export_torch.py",
    "E790": "tests/compiler/test_space.py",
    "E791": "tests/runtime/test_sweep.py",
    **dict.fromkeys(("E794", "E795"), "tests/runtime/test_track.py"),
    "E796": "tests/runtime/test_devices.py",
    **dict.fromkeys(("E797", "E798"), "tests/runtime/test_hub.py"),
}
"""Codes that no program alone can cause, and the tests that do."""


def test_every_code_is_pinned():
    root = HERE.parents[1]
    seen = {code for path in HERE.glob("*.txt") for code in re.findall(r"[EW]\d{3}", path.read_text())}
    for code, place in OUTSIDE_FILES.items():
        if code in (root / place).read_text():
            seen.add(code)
    assert seen == set(CODES)


def test_every_code_is_documented():
    text = (HERE.parents[1] / "docs" / "errors.md").read_text()
    assert set(re.findall(r"^\| ([EW]\d{3}) \|", text, re.MULTILINE)) == set(CODES)


def test_every_error_is_of_a_class_that_people_can_catch():
    classes = {code: class_of(code).__name__ for code in CODES if code.startswith("E")}
    assert set(classes.values()) == {"InputError", "DataError", "RunError", "Diverged", "ClusterError"}
    assert {c for c, name in classes.items() if name == "Diverged"} == {"E730"}
    assert {c for c, name in classes.items() if name == "ClusterError"} == {
        c for c in classes if "E760" <= c < "E770"
    }
    assert {classes[code] for code in ("E001", "E202", "E605", "E720", "E782")} == {"InputError"}
    assert {classes[code] for code in ("E701", "E716", "E747", "E748", "E772")} == {"DataError"}
    assert {classes[code] for code in ("E731", "E732", "E740", "E753", "E773")} == {"RunError"}
    assert issubclass(class_of("E730"), class_of("E740"))
    assert type(pickle.loads(pickle.dumps(refused("E730", "no")))) is class_of("E730")
