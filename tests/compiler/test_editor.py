"""What an editor is told: diagnostics as `lnetc check` has them, and names in files with and without mistakes."""

from pathlib import Path

import pytest

from lnet.compiler.editor.completions import completions
from lnet.compiler.editor.hovers import hover, network_totals
from lnet.compiler.editor.layout import formatted
from lnet.compiler.editor.meanings import BuiltIn, Given, Symbol
from lnet.compiler.editor.symbols import CannotRename, definition, places, rename, replaced
from lnet.compiler.editor.workspace import Place, Workspace
from lnet.compiler.pipeline import compile_source
from lnet.dsl.diagnostics import Collector, LnetError
from lnet.dsl.lexer import tokenize
from lnet.dsl.printer import format_source
from lnet.dsl.source import Source, Span
from lnet.dsl.sources import read_source

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*/*.lnet"))
PLUGGED = ("examples/plugin/model.lnet", "examples/pretraining/unlabelled.lnet")
"""Those that need a plug-in."""
WRONG = sorted((ROOT / "tests/diagnostics").glob("*.lnet"))
MODEL = """let k = 3
let unused = frames("photos")
stage sense(maps, field, stride = 1) {
    filter: local(field, maps, stride = stride, pad = same)
    pool:   l2pool(k, of = filter, pad = same)
    learn:  l2(of = filter)
}

network small {
    image: input(32x32x3)
    V1:    sense(4, 5)
    area[2]: sense(maps = 2, field = index + k)
    both:  concat([V1.pool, area[1].filter])
    class: dense(V1.height, of = V1.pool, act = relu)
}

train {
    update = adam(rate = 0.1)
    data   = frames("photos", augment = [blur(2)], labels = folder)
}
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace({str(tmp_path / "model.lnet"): MODEL})


def whole(workspace):
    return next(iter(workspace.open))


def checked(path):
    """Return what `lnetc check` says of a file."""
    try:
        source = read_source(path)
        collector = Collector(source)
        compile_source(source, {}, collector)
    except LnetError as error:
        return list(error.diagnostics)
    return list(collector.warnings)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_diagnostics_are_those_of_check(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    workspace, key = Workspace(), lambda each: (each.code, each.span or Span(-1, -1), each.message)
    try:
        found = workspace.analysis(path.name).diagnostics
    except LnetError as error:  # it is not text: no editor has it open
        found = error.diagnostics
    assert sorted(map(key, found)) == sorted(map(key, checked(path.name)))


@pytest.mark.parametrize(
    "path",
    [path for path in EXAMPLES if str(path.relative_to(ROOT)) not in PLUGGED],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_every_name_of_an_example_means_something(path):
    analysis = Workspace().analysis(str(path))
    found = {each.span.start for each in analysis.meanings}
    tokens = tokenize(Collector(analysis.source.files[0])).tokens
    assert [str(each) for each in tokens if each.type == "NAME" and each.start_pos not in found] == []


def meant(workspace, word, before=""):
    """Return what a word means, the first one behind a text."""
    start = MODEL.index(word, MODEL.index(before))
    return workspace.analysis(whole(workspace)).meaning(start).of


def test_what_names_mean(workspace):
    assert meant(workspace, "field", "local(") == Symbol("parameter", "field", "sense")
    assert meant(workspace, "stride = 1") == Symbol("parameter", "stride", "sense")
    assert isinstance(meant(workspace, "stride = stride"), Given)
    assert meant(workspace, "stride, pad") == Symbol("parameter", "stride", "sense")
    assert meant(workspace, "k,", "l2pool") == Symbol("let", "k")
    assert meant(workspace, "filter)") == Symbol("item", "filter", "sense")
    assert meant(workspace, "maps = 2") == Symbol("parameter", "maps", "sense")
    assert meant(workspace, "pool", "concat") == Symbol("item", "pool", "sense")
    assert meant(workspace, "filter", "area[1]") == Symbol("item", "filter", "sense")
    assert meant(workspace, "V1.height") == Symbol("item", "V1")
    assert meant(workspace, "height") == BuiltIn("height")
    assert meant(workspace, "index") == BuiltIn("index")
    assert meant(workspace, "relu").name == "relu"
    assert meant(workspace, "rate").owner == "adam"
    assert meant(workspace, "blur").name == "blur"
    assert meant(workspace, "folder").argument.name == "labels"


def told(workspace, word, before=""):
    """Return what a hover shows of a word, the first one behind a text."""
    offset = workspace.open[whole(workspace)].index(word, workspace.open[whole(workspace)].index(before))
    found = hover(workspace.around(whole(workspace)), whole(workspace), offset)
    return None if found is None else found[0]


def test_hovers_tell_what_a_name_is(workspace):
    assert "let k = 3" in told(workspace, "k,", "l2pool")
    assert "`stride = 1`: parameter of the stage `sense`" in told(workspace, "stride, pad")
    assert "stage sense(maps, field, stride = 1)" in told(workspace, "sense(4")
    assert "- `V1`: 32x32x4, sees 7x7 of `image`, 307,200 parameters" in told(workspace, "sense(4")
    assert "`V1`: " in told(workspace, "V1.pool")
    assert "`area[0].filter`: 32x32x2, field 3x3" in told(workspace, "filter:")
    assert "`V1.learn` reads `V1.filter`" in told(workspace, "l2(")
    assert "\nlocal(field, maps, ...)\n" in told(workspace, "local(")
    assert "An update rule" in told(workspace, "update")
    assert "`rate`: " in told(workspace, "rate")
    assert told(workspace, "32x32x3") is None


def test_a_mistake_elsewhere_leaves_hovers_and_names(workspace):
    """What reads a broken line has no shape; all else has."""
    workspace.open[whole(workspace)] = MODEL.replace("concat([V1.pool", "concat([V1.poole")
    assert "`V1.filter`: 32x32x4" in told(workspace, "filter:")
    assert "`class`" in told(workspace, "class:")
    workspace.open[whole(workspace)] = MODEL.replace("V1:    sense(4, 5)", "V1:    sense(4, ")
    assert "`area[0].filter`: 32x32x2" not in told(workspace, "filter:"), "it reads V1"
    assert "stage sense(maps" in told(workspace, "sense(maps = 2")
    assert network_totals(workspace.analysis(whole(workspace))) is None


@pytest.mark.parametrize("end", range(0, len(MODEL), 13))
def test_a_text_that_ends_anywhere_gives_answers(workspace, end):
    path = whole(workspace)
    workspace.open[path] = MODEL[:end]
    for offset in (end, end // 2):
        found = hover(workspace.around(path), path, offset)
        assert found is None or found[1].start <= offset <= found[1].end
        assert all(place.path == path for place in definition(workspace.around(path), path, offset))
        completions(workspace.analysis(path), MODEL[:end], offset)


def offered(workspace, text):
    """Return what is offered at the `|` of a text."""
    offset = text.index("|")
    path = whole(workspace)
    workspace.open[path] = text.replace("|", "")
    return {
        each.name: each.what for each in completions(workspace.analysis(path), workspace.open[path], offset)
    }


@pytest.mark.parametrize(
    ("line", "typed", "some", "others"),
    [
        ("let k = 3", "|", {"let", "stage", "network", "train"}, {"local"}),
        ("let k = 3", "let k = |", {"unused", "size", "true"}, {"local"}),
        ("V1:    sense(4, 5)", "V1:    |", {"local", "sense", "cross_entropy"}, {"k"}),
        ("V1:    sense(4, 5)", "V1:    lo|", {"local", "sense", "cross_entropy"}, {"k"}),
        ("V1:    sense(4, 5)", "V1:    sense(|", {"maps", "field", "stride", "of", "k"}, {"local"}),
        ("V1:    sense(4, 5)", "V1:    sense(4, stride = 2, |", {"field", "of"}, {"maps", "stride", "k"}),
        (
            "V1:    sense(4, 5)",
            "V1:    local(3, 4, act = |",
            {"relu", "none", "k"},
            {"local", "valid", "field"},
        ),
        ("V1:    sense(4, 5)", "V1:    local(3, 4, of = |", {"image"}, {"area", "relu", "k"}),
        ("V1:    sense(4, 5)", "V1:    local(3 |", set(), {"stride", "k"}),
        ("V1:    sense(4, 5)", "V1:    local(3)  # lo|", set(), {"local"}),
        ("V1.pool", "V1.|", {"filter", "pool", "height"}, {"learn", "k"}),
        ("V1.height", "area[1].|", {"filter", "pool", "height"}, {"learn"}),
        ("of = filter, pad", "of = |, pad", {"filter", "input"}, {"pool", "V1"}),
        ("stride = stride", "stride = |", {"maps", "field", "stride", "k"}, {"filter", "relu"}),
        ("update = adam(rate = 0.1)", "|", {"update", "batch", "steps"}, {"adam"}),
        ("adam(rate = 0.1)", "|", {"adam", "sgd"}, {"relu", "batch"}),
        ("rate = 0.1", "rate = 0.1, |", {"schedule"}, {"rate"}),
        ("rate = 0.1", "schedule = |", {"cosine"}, {"rate", "relu"}),
        ("blur(2)", "|", {"blur", "rotate"}, {"adam"}),
        ('"photos", a', '"ph|, a', set(), {"frames"}),
    ],
)
def test_what_can_stand_there_is_offered(workspace, line, typed, some, others):
    found = offered(workspace, MODEL.replace(line, typed, 1))
    assert some <= set(found)
    assert not others & set(found)
    assert some or not found


def put(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


@pytest.fixture
def files(tmp_path):
    """Two networks that include stages, of which one is open and changed, and one that does not."""
    stages, first, second = STAGES
    put(tmp_path, "apart.lnet", "stage sense() { a: lcn(3) }\n")
    workspace = Workspace({put(tmp_path, "first.lnet", "let a = 1\n"): first})
    return workspace, put(tmp_path, "stages.lnet", stages), put(tmp_path, "second.lnet", second)


STAGES = (
    "stage sense(k) { filter: local(k, 2) }\n",
    'include "stages.lnet"\nnetwork one { image: input(9x9x1); V1: sense(k = 3); V2: lcn(3, of = V1.filter); a: l2() }\n',
    'include "stages.lnet"\nnetwork two { image: input(9x9x1); area: sense(2); a: l2() }\n',
)


def test_names_are_found_over_includes(files):
    workspace, stages, second = files
    first, around = whole(workspace), workspace.around
    declared = Place(stages, Span(6, 11))
    at = STAGES[1].index("sense")
    assert definition(around(first), first, at) == [declared]
    assert definition(around(first), first, 3) == [Place(stages, Span(0, 0))]
    found = places(around(stages), stages, 6)
    assert found == [
        declared,
        Place(first, Span(at, at + 5)),
        Place(second, Span(at := STAGES[2].index("sense"), at + 5)),
    ]
    assert declared not in places(around(stages), stages, 6, declarations=False)
    filtered = places(around(stages), stages, STAGES[0].index("filter"))
    assert [place.path for place in filtered] == [stages, first]
    parameter = places(around(stages), stages, STAGES[0].index("k)"))
    assert [place.path for place in parameter] == [stages, stages, first]


def test_diagnostics_are_of_the_file_that_they_are_in(files):
    workspace, stages, second = files
    assert set(workspace.diagnostics(stages)) == {stages}, "it needs no network of its own"
    assert workspace.diagnostics(stages)[stages] == []
    workspace.open[stages] = STAGES[0].replace("local(k", "local(k + 9")
    for path in (whole(workspace), second):
        (found,) = workspace.diagnostics(path)[stages]
        assert found[1].code == "E401"


def test_renaming_keeps_every_meaning(files):
    workspace, stages, second = files
    found = rename(workspace, stages, 6, "area2")
    texts = {stages: STAGES[0], whole(workspace): STAGES[1], second: STAGES[2]}
    for path, text in texts.items():
        edits = [(place.span, "area2") for place in found if place.path == path]
        assert replaced(text, edits) == text.replace("sense", "area2")


@pytest.mark.parametrize(
    ("word", "name", "why"),
    [
        ("k,", "l2pool", None),
        ("k,", "true", "'true' is not a name"),
        ("k,", "a b", "'a b' is not a name"),
        ("k,", "unused", "declared twice"),
        ("V1:", "image", "declared twice"),
        ("V1:", "height", "no item can be named"),
        ("maps,", "k", "declared twice"),
        ("local", "mine", "only names that the file declares"),
    ],
)
def test_a_name_that_would_change_meanings_is_refused(workspace, word, name, why):
    path = whole(workspace)
    if why is None:
        rename(workspace, path, MODEL.index(word), name)
        return
    with pytest.raises(CannotRename, match=why):
        rename(workspace, path, MODEL.index(word), name)
    assert workspace.open[path] == MODEL


def test_a_constant_is_not_renamed_to_a_word_that_an_argument_takes(workspace):
    path = whole(workspace)
    text = workspace.open[path] = MODEL.replace("pad = same)", "pad = k)", 1)
    with pytest.raises(CannotRename, match="'valid' already has a meaning where 'k' is used"):
        rename(workspace, path, text.index("k"), "valid")


@pytest.mark.parametrize("ending", ["", "\n", "\n\n\n"])
def test_formatting_is_that_of_fmt(ending):
    text = "let a=1\n\n# why\nlet  b = 2\nnetwork n { image: input(8x8x1)\n V1: lcn(3) }" + ending
    edits = formatted(text)
    assert replaced(text, edits) == format_source(Source(text))
    assert all(text[span.start : span.end] != new for span, new in edits)
    assert formatted(format_source(Source(text))) == []


def test_the_totals_are_those_of_explain():
    path = ROOT / "examples/photographs/model.lnet"
    text, span = network_totals(Workspace().analysis(str(path)))
    explained = compile_source(source := read_source(path), {}, Collector(source)).explain()
    parameters, _, memory = text.partition("; ")
    assert f"{parameters.partition(' ')[0]} parameters with decoders" in explained
    assert memory.removesuffix(" to train it in one process") + " to train one in one process" in explained
    assert path.read_text()[span.start : span.end] == "photographs"


def test_a_file_that_is_missing_leaves_the_rest(workspace):
    path = whole(workspace)
    workspace.open[path] = 'include "none.lnet"\n' + MODEL
    (found,) = workspace.analysis(path).diagnostics
    assert (found.code, found.span) == ("E001", Span(0, 19))
    assert "`V1.filter`: 32x32x4" in told(workspace, "filter:")


def test_an_included_file_that_is_no_text_is_told_in_that_file(files):
    workspace, stages, _ = files
    Path(stages).write_bytes(b"let a = \xff\n")
    found = workspace.diagnostics(whole(workspace))
    assert [each.code for _, each in found[stages]] == ["E003"]
    (analysis, each) = found[stages][0]
    assert analysis.place(each.span) == Place(stages, Span(8, 9))
