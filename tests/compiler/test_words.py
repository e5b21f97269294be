"""Words of the language pass through constants, parameters of stages and settings; names of other frameworks have hints."""

from dataclasses import dataclass, replace

import pytest

import lnet
from lnet.compiler.core.arguments import (
    ArgumentType,
    Positive,
    list_of,
    none_or,
    signature,
    tile,
    version_of,
)
from lnet.compiler.core.values import Word
from lnet.compiler.language import foreign, hints
from lnet.compiler.language.expressions import ATTRIBUTES, Evaluator
from lnet.compiler.language.scope import Scope
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.pipeline import build_graph, compile_text
from lnet.compiler.rules import RULES, SGD
from lnet.compiler.words import TRAIN, objective_signature
from lnet.compiler.words import vocabulary as known
from lnet.dsl.diagnostics import Collector, LnetError, did_you_mean
from lnet.dsl.parser import parse
from lnet.dsl.source import Source

NEEDED = {"field": "3", "maps": "2", "units": "2", "path": '"photos"', "rate": "0.1", "size": "4x4"}


def takers(table):
    """Every argument of a table that takes words, or functions that stand bare, with each of them."""
    for argument in table.given:
        if isinstance(argument.type, ArgumentType):
            bare = filter(argument.type.takes_bare, argument.type.calls)
            for word in (*argument.type.words, *bare):
                yield table, argument.name, word


def called(table, name, word):
    given = [f"{row.name} = {NEEDED[row.name]}" for row in table.given if row.required]
    return f"{table.name}({', '.join([*given, f'{name} = {word}'])})"


CALLS, WORDS = known().calls, known().words
LAYER_WORDS = [t for kind in LAYER_KINDS for t in takers(signature(kind, LAYER_KINDS[kind]))]
CALL_WORDS = [t for name in CALLS for t in takers(signature(name, CALLS[name]))]
TRAIN_WORDS = list(takers(TRAIN))


def ids(case):
    return case if isinstance(case, str) else case.name


def ops(text, overrides=None):
    return [layer.op for layer in compile_text(text, overrides).graph.layers]


@pytest.mark.parametrize(("table", "name", "word"), LAYER_WORDS, ids=ids)
def test_a_word_of_a_layer_passes_through(table, name, word):
    network = "network n {{ image: input(9x9x1); read: local(3, 2); {} }}"
    expected = ops(network.format(f"f: {called(table, name, word)}"))
    through = network.format(f"f: {called(table, name, 'w')}")
    assert ops(f"let w = {word}\n{through}") == expected
    assert ops(f"let v = {word}; let w = v\n{through}") == expected
    assert ops(f"let w = 1\n{through}", {"let.w": word}) == expected
    plan = lnet.compile(lnet.parse(f"let w = 1\n{through}"), set={"let.w": word})
    assert [layer.op for layer in plan.graph.layers] == expected
    stage = f"stage s(w = {word}) {{ f: {called(table, name, 'w')} }}\n"
    assert ops(stage + network.format("f: s()")) == expected
    assert ops(stage.replace(f"w = {word}", "w", 1) + network.format(f"f: s({word})")) == expected


@pytest.mark.parametrize(("table", "name", "word"), CALL_WORDS + TRAIN_WORDS, ids=ids)
def test_a_word_of_train_passes_through(table, name, word):
    network = "let w = {}\nnetwork n {{ image: input(9x9x1); learn: l2() }}\ntrain {{ {} }}"

    def training(let, given, overrides=None):
        if table is TRAIN:
            setting = f"{name} = {given}"
        else:
            setting = (
                f"{'data' if table.name in ('frames', 'arrays') else 'update'} = {called(table, name, given)}"
            )
        return compile_text(network.format(let, setting), overrides).graph.training

    assert training(word, "w") == training(1, word)
    assert training(1, "w", {"let.w": word}) == training(1, word)


def test_every_word_that_an_argument_takes_is_a_word_of_the_language():
    assert {"scaled", "full", "folder", "same"} <= WORDS
    assert {word for _, _, word in LAYER_WORDS + CALL_WORDS + TRAIN_WORDS} - {"none"} <= WORDS | {*CALLS}
    assert {"relu", "leaky_relu", "softmax"} <= {*CALLS}


def test_an_argument_that_functions_make_lists_all_of_them():
    tables = [TRAIN, *(signature(name, function) for name, function in CALLS.items())]
    types = [row.type for table in tables for row in table.given if isinstance(row.type, ArgumentType)]
    made = [(each, each.items or each) for each in types]
    assert sum(len(by.calls) > 1 for _, by in made) >= 4
    for each, by in made:
        assert [call for call in by.calls if call not in each.expected] == []


def test_images_pass_through_a_constant():
    text = 'let d = frames("photos", flip = false)\nlet e = d\n'
    text += "network n { image: input(5x7x1); learn: l2() }\ntrain { data = e }"
    data = compile_text(text).graph.training.data
    assert (data.path, data.flip, str(data.size)) == ("photos", False, "5x7")


@pytest.mark.parametrize(
    ("pad", "extent"),
    [
        ("3x0", "50x1x4"),
        ("size(3, 0)", "50x1x4"),
        ("(7x1 - 1) // 2", "50x1x4"),
        ("0x0", "47x1x4"),
        ("3x0 + 0x2", "50x5x4"),
        ("p", "50x1x4"),
    ],
)
def test_padding_of_one_axis(pad, extent):
    text = f"let p = 3x0\nnetwork n {{ x: input(100x1x6); f: local(7x1, 4, pad = {pad}, stride = 2x1); learn: l2() }}"
    layer = compile_text(text).graph.layer("f")
    assert str(layer.sheet) == extent
    columns = layer.op.window.columns
    assert columns.before == columns.after == (int(extent.split("x")[1]) - 1) // 2


# --- names of other frameworks ---------------------------------------------------------------------------


def test_case_does_not_count_in_near_misses():
    assert did_you_mean("ReLU", ["relu", "tanh"]) == ("did you mean 'relu'?",)
    assert did_you_mean("LOCAL", ["local", "lcn"]) == ("did you mean 'local'?",)
    assert did_you_mean("v1", ["V1", "V2"]) == ("did you mean 'V1'?",)
    assert did_you_mean("Poolin", ["pooling"]) == ("did you mean 'pooling'?",)
    assert did_you_mean("xyz", ["relu"]) == ()


def test_no_foreign_name_stands_for_something_that_the_language_has():
    assert {*foreign.FUNCTIONS} & {*CALLS} == set(), "leave it out of foreign.py"
    assert {*foreign.SETTINGS} & {row.name for row in TRAIN.given} == set(), "leave it out of foreign.py"
    same = {*foreign.KINDS} & {*LAYER_KINDS, *OBJECTIVE_KINDS}
    assert same == {"maxpool", "avgpool"}, "leave it out of foreign.py"  # found as MaxPool2d, not as Maxpool
    tables = [table for name, table in vars(foreign).items() if name.isupper()]
    for name in {name for table in tables for name in table}:
        assert hints._key(name) == name, "a key that no name leads to"


def test_what_foreign_names_lead_to_is_in_the_language():
    tables = [signature(kind, LAYER_KINDS[kind]) for kind in LAYER_KINDS]
    tables += [signature(name, CALLS[name]) for name in CALLS]
    tables += map(objective_signature, OBJECTIVE_KINDS)
    arguments = {row.name for table in tables for row in table.given}
    assert {own for meant in foreign.ARGUMENTS.values() for own in meant} <= arguments
    assert {own for meant in foreign.ATTRIBUTES.values() for own in meant} <= {*ATTRIBUTES}
    found = {own for meant in foreign.WORDS.values() for own in meant}
    assert found - {"true", "false", "none", "float16"} <= WORDS | {*CALLS}


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("batch", "5", "did you mean 'train.batch'?"),
        ("k", "5", "did you mean 'let.k'?"),
        ("lr", "0.1", "update = adam(rate = 0.001)"),
        ("train.lr", "0.1", "update = adam(rate = 0.001)"),
        ("train.update.rate", "0.1", "did you mean 'train.update'?"),
        ("BATCH", "5", "did you mean 'train.batch'?"),
        ("epochs", "5", "did you mean 'train.epochs'?"),
    ],
)
def test_hints_for_settings_beside_the_file(name, text, hint):
    with pytest.raises(LnetError) as caught:
        compile_text(
            "let k = 3\nnetwork n { image: input(9x9x1); f: local(k, 2); learn: l2() }", {name: text}
        )
    assert hint in str(caught.value)


# --- functions as words ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drift(SGD):
    """A rule whose arguments all have defaults."""

    kind = "drift"
    rate: Positive = 0.25


@pytest.fixture
def drift(monkeypatch):
    monkeypatch.setitem(RULES, "drift", Drift)


@pytest.mark.parametrize(
    ("written", "rate"),
    [("drift", 0.25), ("drift()", 0.25), ("drift(0.5)", 0.5), ("d", 0.25), ("e", 0.75), ("s", 0.25)],
)
def test_a_function_whose_arguments_all_have_defaults_may_stand_bare(drift, written, rate):
    text = "let d = drift; let e = drift(rate = 0.75); let s = d\n"
    text += f"network n {{ image: input(5x7x1); learn: l2() }}\ntrain {{ update = {written} }}"
    assert compile_text(text).graph.training.update == Drift(rate)


def test_a_bare_function_is_a_word_in_hints_and_messages(drift):
    text = "network n {{ image: input(5x7x1); learn: l2() }}\ntrain {{ update = {} }}"
    with pytest.raises(LnetError) as caught:
        compile_text(text.format("drif"))
    assert "did you mean 'drift'?" in str(caught.value)
    with pytest.raises(LnetError) as caught:
        compile_text(text.format("adam"))
    assert "write 'adam(rate = ...)'" in str(caught.value)
    with pytest.raises(LnetError) as caught:
        compile_text(text.format("5"))
    assert "or 'drift', found the number 5" in str(caught.value)


def test_a_parameter_hides_a_function_but_where_it_is_wanted(drift):
    text = (
        "stage s(drift) {{ f: local(drift, 2) }}\nnetwork n {{ image: input(9x9x1); V1: s(3); learn: l2() }}"
    )
    assert compile_text(text.format()).graph.layer("V1.f").op.window.rows.field == 3


KEEP = ArgumentType("{words}", lambda value: value if value == Word("keep") else None, ("keep",))
CHOICE = replace(KEEP, calls={"tile": tile, "drift": Drift})


def test_alternatives_are_listed_once_with_none_at_the_end():
    assert CHOICE.expected == "'keep', tile(...) or 'drift'"
    assert none_or(CHOICE).expected == "'keep', tile(...), 'drift' or 'none'"
    assert none_or(none_or(CHOICE)).expected == "'keep', tile(...), 'drift' or 'none'"


def test_items_of_a_list_are_words_and_functions_of_their_type():
    evaluator, expr = (
        Evaluator(Collector(Source(""))),
        parse("let v = [keep, drift, k]\n").declarations[0].value,
    )
    wanted = list_of("a list", CHOICE)
    value = evaluator.value(expr, Scope({"keep": 7, "k": 8}), wanted)
    assert value == (Word("keep"), Drift(), 8)
    assert wanted.convert(value) is None
    assert wanted.convert((Word("keep"),) * 2) == (Word("keep"),) * 2


def test_a_name_means_one_function_wherever_it_is_taken():
    tables = [signature(name, function) for name, function in {**LAYER_KINDS, **CALLS}.items()]
    for table in [*tables, *map(objective_signature, OBJECTIVE_KINDS), TRAIN]:
        for row in table.given:
            if isinstance(row.type, ArgumentType):
                for name, function in row.type.calls.items():
                    assert CALLS[name] is function, f"{name} of {row.name} of {table.name}"


# --- kinds and the version that they came with -----------------------------------------------------------

OF_VERSION_1 = {
    *("add", "avgpool", "concat", "crop", "decode", "dense", "input", "l2pool", "lcn", "local", "maxpool"),
    *("relu", "sigmoid", "softplus", "tanh"),
    *("cross_entropy", "l1", "l2", "one_vs_all", "rica", "smooth", "squared_error"),
}


@pytest.mark.parametrize(("kind", "function"), {**LAYER_KINDS, **OBJECTIVE_KINDS}.items())
def test_a_kind_states_the_version_that_it_came_with(kind, function):
    """A stage in a file of version 1 may have its name: write `@since(2)` above a new kind."""
    assert version_of(function) == (1 if kind in OF_VERSION_1 else 2)


def test_a_stage_hides_a_kind_that_came_later():
    text = "stage {0}(k) {{ f: local(k, 2) }}\nnetwork n {{ image: input(9x9x1); V1: {0}(3); a[2]: {0}(2); q: l2() }}"
    for kind in ("target", "depth_to_space", "cosine_error"):
        collector = Collector(Source(text.format(kind)))
        graph = build_graph(collector.source, {}, collector)
        assert [layer.path for layer in graph.layers] == ["image", "V1.f", "a[0].f", "a[1].f"]
        assert [d.code for d in collector.warnings] == ["W609"]


def test_a_first_line_may_say_either_version():
    text = "network n { image: input(9x9x1); f: maxpool(3, pad = 1); q: l2() }"
    for line, codes in (("", []), ("lnet 1\n", ["W608"]), ("lnet 2\n", [])):
        collector = Collector(Source(line + text))
        build_graph(collector.source, {}, collector)
        assert [d.code for d in collector.warnings] == codes
