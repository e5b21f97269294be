"""Notebooks: cells that are networks, what shows itself in them, and those of the examples from beginning to end."""

import os
import pty
import re
import sys
from pathlib import Path
from subprocess import Popen, run

import nbformat
import pytest
from chromium import needs_browser, open_page
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from small_run import furnish

from lnet.runtime.training import bars

EXAMPLES = Path(__file__).parents[1] / "examples/notebooks"
GOOD = """%%lnet net --set train.batch=5
network small { image: input(16x16x3); filter: local(5, maps = 4, stride = 4); learn: l2() }
train { data = frames("images"); batch = 10; steps = 3 }
"""


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture
def cells(shell):
    """Run cells, and return what the last one shows: its result, its outputs and what it printed."""

    def run_cells(*texts):
        for text in ("%load_ext lnet.notebook", *texts):
            with capture_output() as shown:
                found = shell.run_cell(text)
        return found, shown

    return run_cells


def test_a_cell_is_compiled_into_a_variable_that_shows_itself(cells, shell):
    found, _ = cells(GOOD)
    assert shell.user_ns["net"] is found.result
    assert found.result.graph.training.batch == 5
    html = found.result._repr_html_()
    assert html.startswith("<p>network small: 2 layers, ")
    assert '<td style="text-align: left">filter</td>' in html


def test_the_parameters_of_all_layers_add_up(cells):
    text = """%%lnet
network n { image: input(16x16x3); filter: local(5, maps = 4); pool: l2pool(3); learn: rica() }
train { data = frames("images") }
"""
    found, _ = cells(text)
    html = found.result._repr_html_()
    cells_of = re.findall(r'<td style="text-align: right">([0-9,]+)</td></tr>', html)
    total = sum(parameter.size for parameter in found.result.graph.parameters)
    assert len(cells_of) == 2, "the layer and its decoder"
    assert sum(int(cell.replace(",", "")) for cell in cells_of) == total
    assert f"{total:,} parameters" in html


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%lnet\nnetwork n { image: input(8x8x1); f: lokal(3, 2) }\n", "plan.lnet:1:37: error E202"),
        ("%%lnet 5x\nnetwork n { }\n", "expected the name of a variable, found '5x'"),
        ("%%lnet class\nnetwork n { }\n", "expected the name of a variable, found 'class'"),
        ("%%lnet a --set 'let.k=3\nnetwork n { }\n", "%%lnet: a --set 'let.k=3: No closing quotation"),
        (
            "%%lnet a --set train.batch\nnetwork n { }\n",
            "expected KEY=VALUE after --set, found 'train.batch'",
        ),
        ("%%lnet a b\nnetwork n { }\n", "unrecognized arguments: b"),
        ("%%lnet a --set train.batch=0\n" + GOOD.partition("\n")[2], "train.batch"),
    ],
)
def test_what_is_wrong_is_shown_without_a_traceback(cells, shell, cell, message):
    found, shown = cells(cell)
    assert not found.success
    assert message in shown.stdout
    assert "Traceback" not in shown.stdout + shown.stderr
    assert "plan" not in shell.user_ns


def test_training_shows_a_bar_in_a_kernel(cells, shell, tmp_path, monkeypatch):
    furnish(tmp_path)
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    monkeypatch.setattr(bars, "OFTEN", 0)
    found, shown = cells(GOOD, "import lnet; run = lnet.train(net); run")
    pictures = [output.data["text/html"] for output in shown.outputs if "text/html" in output.data]
    assert pictures[0].startswith('<progress value="0" max="3"')
    assert any("step 3 of 3" in picture and "learn " in picture for picture in pictures)
    assert "run runs/small-1: done, step 3 of 3" in found.result._repr_html_()


def test_training_shows_a_bar_in_a_terminal_and_nothing_elsewhere(tmp_path):
    furnish(tmp_path)
    (tmp_path / "n.lnet").write_text(GOOD.partition("\n")[2])
    program = [sys.executable, "-c", "import lnet; lnet.train(lnet.compile('n.lnet'))"]
    assert run(program, cwd=tmp_path, check=True, capture_output=True).stderr == b""
    ours, theirs = pty.openpty()
    process = Popen(
        program, cwd=tmp_path, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    )
    os.close(theirs)
    seen = bytearray()
    try:
        while part := os.read(ours, 1000):
            seen += part
    except OSError:  # the end of a pseudo-terminal
        pass
    assert not process.wait(120)
    assert re.search(r"step.*3/3", seen.decode())


@pytest.mark.slow
@needs_browser
def test_the_notebooks_of_the_examples_run_in_jupyter_and_show_in_a_browser(tmp_path):
    shown, titles = [], []
    for name in ("train.ipynb", "probe.ipynb"):
        book = nbformat.read(EXAMPLES / name, as_version=4)
        NotebookClient(book, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
        outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
        shown += [output.data["text/html"] for output in outputs if "text/html" in output.get("data", {})]
        page = tmp_path / f"{name}.html"
        page.write_text(HTMLExporter().from_notebook_node(book)[0])
        titles.append(re.search("<title>(.*)</title>", open_page(page, SEEN))[1])
    assert titles == ["2 of 2 pictures, fits", "1 of 1 pictures, fits"]
    assert any('<progress value="300" max="300"' in html for html in shown)
    assert "100 upright and 100 lying" in shown[-2] or "100 lying and 100 upright" in shown[-2]


SEEN = """
const pictures = [...document.images];
const whole = pictures.filter(picture => picture.naturalWidth > 0).length;
const fits = document.documentElement.scrollWidth <= innerWidth;
document.title = `${whole} of ${pictures.length} pictures, ${fits ? "fits" : "too wide"}`;
"""
