"""Every command in the documents is run, and its output compared with the one shown.

In a block marked `figures-vary` numbers may be others, because they depend on the machine; `...` stands for any lines.
`UPDATE=1` writes the output of the other blocks anew. The demonstrations that train for longest take a quarter of their
steps here: what they print has the same form, and what they are to show can be seen already.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import lnet
from docs import api, tables
from lnet.cli import main
from lnet.compiler.pipeline import compile_text
from lnet.compiler.reference import example_of, value_of
from lnet.runtime.store.events import LOGGED

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "docs" / "guide.md",
    ROOT / "docs" / "cluster.md",
    ROOT / "docs" / "scale.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
]
SHORTER = {"photographs": ("steps     = 4000", "steps = 1000"), "sheet": ("steps  = 800", "steps = 200")}
BLOCK = re.compile(r"^```console( figures-vary)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the examples in it, as a newcomer has them, and what the guide tells people to make."""
    folder = tmp_path_factory.mktemp("docs")
    ignored = shutil.ignore_patterns("images", "unseen", "*.plan", "__pycache__")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=ignored)
    for name, (steps, fewer) in SHORTER.items():
        model = folder / "examples" / name / "model.lnet"
        text = model.read_text()
        assert steps in text
        model.write_text(text.replace(steps, fewer))
    (folder / "first.lnet").write_text(
        re.search(r"```lnet\n(.*?)```", (ROOT / "docs/guide.md").read_text(), re.DOTALL)[1]
    )
    subprocess.run([sys.executable, "examples/photographs/collect.py", "images"], cwd=folder, check=True)
    return folder


def output_of(command, folder):
    """Run a command, once however many documents show it."""
    return output_of_shell(command.replace("make demo", "python examples/photographs/demo.py"), folder)


@cache
def output_of_shell(command, folder):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": path,
        "COLUMNS": "100",
        "PYTHONDONTWRITEBYTECODE": "1",
        "XLA_FLAGS": "",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def commands_of(block):
    """Yield each command of a block with the output shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield command, shown.rstrip("\n")


def pattern(shown, vary):
    lines = []
    for line in shown.splitlines():
        lines.append(r"(?:.*\n)*?" if line == "..." else re.escape(plain(line) if vary else line) + r"\n")
    return "".join(lines)


def plain(line):
    """Leave out what differs from machine to machine."""
    return re.sub(r"\s+", " ", re.sub(r"-?\d[\d,]*(\.\d+)?(e[+-]?\d+)?", "#", line))


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_shows_its_output(document, place):
    text = document.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    assert blocks
    for block in blocks:
        vary = block[1] is not None
        shown_anew = ""
        for command, shown in commands_of(block[2]):
            found = output_of(command, place)
            shown_anew += f"$ {command}\n{found}\n"
            if vary or not os.environ.get("UPDATE"):
                lines = "".join((plain(line) if vary else line) + "\n" for line in found.splitlines())
                assert re.fullmatch(pattern(shown, vary), lines), f"{command}\n{found}"
        if not vary and os.environ.get("UPDATE"):
            text = text.replace(block[0], f"```console\n{shown_anew}```")
    if os.environ.get("UPDATE"):
        document.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_the_demo_learns(place):
    """What the demo prints is what it is meant to show: better than untrained, and edges where there was noise."""
    out = output_of("make demo", place)
    rows = [line.split() for line in out.splitlines() if re.match(r"V\d\.learn ", line)]
    assert [row[0] for row in rows] == ["V1.learn", "V2.learn", "V3.learn"]
    for _, _, mean, untrained, trained in rows:
        assert float(trained) < 0.9 * float(mean)
        assert float(trained) < 0.3 * float(untrained)
    after, before = map(
        int, re.search(r"(\d+)% of the filters in V1 are oriented, (\d+)% were before", out).groups()
    )
    assert after >= 40
    assert before <= 5
    report = place / re.search(r"report: (\S+)", out)[1]
    assert '<h2 id="filters">' in report.read_text()


@pytest.mark.slow
def test_contrast_tells_textures_apart(place):
    """Without a label the network learns what ten labels of each texture then suffice for."""
    out = output_of("python examples/contrast/demo.py", place)
    pixels, untrained, trained = map(
        int, re.search(r"pixels (\d+)%, untrained (\d+)%, trained (\d+)%", out).groups()
    )
    assert trained > max(pixels, untrained) + 15


def test_programs_in_documents_compile(tmp_path):
    for document in (ROOT / "README.md", ROOT / "docs/guide.md", ROOT / "docs/language.md"):
        for number, block in enumerate(re.findall(r"```lnet\n(.*?)```", document.read_text(), re.DOTALL)):
            path = tmp_path / f"{document.stem}-{number}.lnet"
            path.write_text(block)
            assert lnet.compile(path).graph.layers


def test_the_readme_shows_the_demo_program():
    program = re.search(r"```lnet\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert program in (ROOT / "examples/photographs/model.lnet").read_text()


def test_the_tables_of_the_reference_are_those_of_the_language():
    """`make docs` writes them anew."""
    text = tables.REFERENCE.read_text(encoding="utf-8")
    assert {found[1] for found in tables.BLOCK.findall(text)} == {*tables.TABLES, "settings"}
    assert tables.written(text) == text, "'make docs' writes the rows that differ"


def test_a_bar_in_a_row_begins_no_cell():
    def kind():
        """`|x|` of each value"""

    assert tables.cell(value_of(kind)) == r"`\|x\|` of each value"


def test_the_readme_lists_every_command():
    listed = re.findall(r"^\| `lnetc ([\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(main.commands)


def test_the_page_of_the_api_is_that_of_the_public_names():
    """`make docs` writes it anew."""
    text = api.PAGE.read_text(encoding="utf-8")
    assert api.written(text) == text
    assert set(re.findall(r"^### (\w+)$", text, re.MULTILINE)) == set(lnet.__all__)
    assert "](docs/api.md)" in (ROOT / "README.md").read_text()


def test_a_public_name_without_a_docstring_has_no_place_on_the_page(monkeypatch):
    def undocumented(text: str) -> str:
        return text

    monkeypatch.setattr(lnet, "format", undocumented, raising=False)
    with pytest.raises(ValueError, match="'format' has no docstring"):
        api.reference()


PLACES = {
    "layers": "network n {{ image: input(20x20x3); {layers}; x: {example} }}",
    "objectives": "network n {{ image: input(20x20x3); {layers}; vector: dense(4); x: {example} }} "
    'train {{ data = frames("a", views = 2) }}',
    "update rules": "network n {{ image: input(20x20x3); {layers} }} train {{ update = {example} }}",
    "augmentations": 'network n {{ image: input(20x20x3); {layers} }} train {{ data = frames("a", augment = [{example}]) }}',
}
LAYERS = "first: local(3, 2); norm: lcn(3, of = image); second: local(3, 2, of = norm); pool: l2pool(2)"


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in tables.TABLES.items() for kind in kinds]
)
def test_the_example_of_a_kind_compiles(name, kind):
    example = example_of(tables.TABLES[name][kind])
    assert example.startswith(f"{kind}(")
    layers = LAYERS.replace("pool: l2pool(2)", "crop: crop(18x18)") if name == "layers" else LAYERS
    text = PLACES[name].format(layers=layers, example=example)
    if kind == "input":
        text = f"network n {{ x: {example}; f: local(3, 2) }}"
    graph = compile_text(text).graph
    if name == "update rules":
        assert graph.training.update.kind == kind
    elif name == "augmentations":
        assert [found.kind for found in graph.training.data.augment] == [kind]
    else:
        assert any(each.path.partition(".")[0] == "x" for each in (*graph.layers, *graph.objectives))


def test_every_event_is_in_the_documents():
    """What a cluster adds to the log is described where its operator looks."""
    section = (ROOT / "docs/cluster.md").read_text().partition("## events.jsonl")[2].partition("## ")[0]
    assert set(re.findall(r"`([a-z ]+)`", section)) >= {kind.name for kind in LOGGED}


def test_links_in_documents_lead_somewhere():
    for document in (*DOCUMENTS, *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_example_has_the_standard_layout():
    from click.testing import CliRunner

    from lnet.cli import main

    files = sorted(map(str, (ROOT / "examples").glob("*/*.lnet")))
    assert len(files) >= 5
    result = CliRunner().invoke(main, ["fmt", "--check", *files])
    assert result.output == ""
