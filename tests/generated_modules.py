"""Modules of the language, generated: syntactically right, and mostly without a meaning."""

from hypothesis import strategies as st

from lnet.dsl import nodes
from lnet.dsl.nodes import KEYWORDS
from lnet.dsl.source import Span

HERE = Span(0, 0)
CONSTANTS = {"true": True, "false": False, "none": None}

words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda word: word not in KEYWORDS and word not in CONSTANTS
)
names = words.map(lambda word: nodes.Name(HERE, word))
integers = st.integers(0, 10**18 - 1).map(str)
decimals = st.from_regex(r"[0-9]{1,4}\.[0-9]{1,4}(e[+-]?[0-9]{1,2})?|[0-9]{1,3}e-?[0-9]{1,2}", fullmatch=True)
numbers = (integers | decimals).map(lambda text: nodes.Number(HERE, text))
sizes = st.lists(st.integers(0, 999), min_size=2, max_size=3).map(
    lambda extents: nodes.SizeWord(HERE, "x".join(map(str, extents)))
)
strings = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")) | st.just("\n"), max_size=12
)


def _paths(indices):
    parts = st.builds(lambda name, index: nodes.Part(HERE, name, index), words, st.none() | indices)
    return st.lists(parts, min_size=1, max_size=3).map(lambda parts: nodes.Path(HERE, tuple(parts)))


atoms = st.one_of(
    numbers,
    sizes,
    strings.map(lambda text: nodes.String(HERE, text)),
    st.sampled_from(list(CONSTANTS.values())).map(lambda value: nodes.Constant(HERE, value)),
    _paths(st.nothing()),
)


def _wider(inner):
    arguments = _arguments(inner)
    groups = inner.map(lambda e: nodes.Group(HERE, e))
    primary = atoms | groups
    unary = primary | primary.map(lambda e: nodes.Negative(HERE, e))
    products = _chains(unary, ("*", "/", "//"))
    return st.one_of(
        groups,
        _paths(inner),
        st.lists(inner, max_size=3).map(lambda items: nodes.List(HERE, tuple(items))),
        st.builds(lambda name, given: nodes.Call(HERE, name, tuple(given)), names, arguments),
        products,
        _chains(unary | products, ("+", "-")),
        unary,
    )


def _chains(operands, operators):
    rest = st.lists(st.tuples(st.sampled_from(operators), operands), min_size=1, max_size=3)
    return st.builds(lambda first, more: nodes.Chain(HERE, first, tuple(more)), operands, rest)


def _arguments(values):
    one = st.builds(lambda name, value: nodes.Argument(HERE, name, value), st.none() | names, values)
    return st.lists(one, max_size=4)


expressions = st.recursive(atoms, _wider, max_leaves=8)
items = st.builds(
    lambda name, kind, given, count: nodes.Item(HERE, name, kind, tuple(given), count),
    names,
    names,
    _arguments(expressions),
    st.none() | expressions,
)
blocks = st.lists(items, max_size=4).map(tuple)
lets = st.builds(lambda name, value: nodes.Let(HERE, name, value), names, expressions)
parameters = st.lists(
    st.builds(lambda n, v: nodes.Parameter(HERE, n, v), names, st.none() | expressions), max_size=3
)
stages = st.builds(
    lambda name, given, inside: nodes.Stage(HERE, name, tuple(given), inside), names, parameters, blocks
)
networks = st.builds(lambda name, inside: nodes.Network(HERE, name, inside), names, blocks)
settings = st.builds(lambda name, value: nodes.Setting(HERE, name, value), names, expressions)
trains = st.lists(settings, max_size=4).map(lambda inside: nodes.Train(HERE, tuple(inside)))
declarations = st.lists(lets | stages | networks | trains, min_size=1, max_size=4)
versions = st.none() | st.just(nodes.Number(HERE, "1"))
modules = st.builds(lambda version, inside: nodes.Module(version, tuple(inside)), versions, declarations)
