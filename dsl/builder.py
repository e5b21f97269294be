"""The actions of the grammar's rules: tokens and nodes in, a node out. The parse tree itself is never built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lark import Token, Transformer

from . import nodes
from .lexer import CONSTANTS, unescape
from .source import Span

Children = list[Any]


def _span(children: Sequence[Any]) -> Span:
    """Return the span from the first child to the last."""
    first, last = children[0], children[-1]
    start = (first.start_pos or 0) if isinstance(first, Token) else first.span.start
    return Span(start, (last.end_pos or 0) if isinstance(last, Token) else last.span.end)


def _without_tokens(children: Children) -> Children:
    return [child for child in children if not isinstance(child, Token)]


def _listed(children: Children) -> tuple[Any, ...]:
    """Return the nodes between commas."""
    return tuple(_without_tokens(children))


def _list_in(children: Children) -> tuple[Any, ...]:
    """Return the list of arguments or parameters among the children; empty if there is none."""
    return next((child for child in children if isinstance(child, tuple)), ())


def _unrolled(chain: Any) -> tuple[Any, ...]:
    """Return the elements of a left-recursive list."""
    elements = []
    while chain is not None:
        chain, element = chain.rest, chain.last
        elements.append(element)
    return tuple(reversed(elements))


class _More:
    """A list and one element more."""

    __slots__ = ("last", "rest")

    def __init__(self, rest: _More | None, last: Any) -> None:
        self.rest, self.last = rest, last


class Builder(Transformer[Token, nodes.Module]):
    """One method for each rule of `lnet.lark`; punctuation is kept by the grammar, for the spans."""

    def module(self, children: Children) -> nodes.Module:
        version = children[0] if len(children) == 2 else None
        return nodes.Module(version, _unrolled(children[-1]))

    def version(self, children: Children) -> nodes.Number:
        return self.number(children[1:2])

    def nothing(self, children: Children) -> None:
        return None

    def more(self, children: Children) -> _More:
        return _More(*children)

    def entry(self, children: Children) -> nodes.Node:
        return children[0]  # type: ignore[no-any-return]

    def broken(self, children: Children) -> nodes.Broken:
        return nodes.Broken(_span(children), str(children[0]) or None)

    def let(self, children: Children) -> nodes.Let:
        _, name, _, value, _ = children
        return nodes.Let(_span(children[:-1]), name, value)

    def include(self, children: Children) -> nodes.Include:
        return nodes.Include(_span(children[:-1]), self.string(children[1:2]))

    def stage(self, children: Children) -> nodes.Stage:
        return nodes.Stage(_span(children), children[1], _list_in(children), _unrolled(children[-2]))

    def network(self, children: Children) -> nodes.Network:
        return nodes.Network(_span(children), children[1], _unrolled(children[-2]))

    def train(self, children: Children) -> nodes.Train:
        return nodes.Train(_span(children), _unrolled(children[-2]))

    def parameter(self, children: Children) -> nodes.Parameter:
        return nodes.Parameter(_span(children), children[0], children[2] if len(children) > 1 else None)

    def item(self, children: Children) -> nodes.Item:
        name, *count, kind = [child for child in _without_tokens(children) if not isinstance(child, tuple)]
        return nodes.Item(_span(children), name, kind, _list_in(children), *count)

    def setting(self, children: Children) -> nodes.Setting:
        return nodes.Setting(_span(children), children[0], children[2])

    def argument(self, children: Children) -> nodes.Argument:
        name = children[0] if len(children) == 3 else None
        return nodes.Argument(_span(children), name, children[-1])

    def parameters(self, children: Children) -> tuple[nodes.Parameter, ...]:
        return _listed(children)

    def arguments(self, children: Children) -> tuple[nodes.Argument, ...]:
        return _listed(children)

    def name(self, children: Children) -> nodes.Name:
        return nodes.Name(_span(children), str(children[0]))

    def expr(self, children: Children) -> nodes.Chain:
        operators, operands = children[1::2], children[2::2]
        rest = tuple((str(operator), operand) for operator, operand in zip(operators, operands, strict=True))
        return nodes.Chain(_span(children), children[0], rest)

    product: Callable[[Builder, Children], nodes.Chain] = expr

    def negative(self, children: Children) -> nodes.Negative:
        return nodes.Negative(_span(children), children[1])

    def number(self, children: Children) -> nodes.Number:
        return nodes.Number(_span(children), str(children[0]))

    def size(self, children: Children) -> nodes.SizeWord:
        return nodes.SizeWord(_span(children), str(children[0]))

    def string(self, children: Children) -> nodes.String:
        return nodes.String(_span(children), unescape(str(children[0])))

    def constant(self, children: Children) -> nodes.Constant:
        return nodes.Constant(_span(children), CONSTANTS[str(children[0])])

    def path(self, children: Children) -> nodes.Path:
        return nodes.Path(_span(children), _listed(children))

    def part(self, children: Children) -> nodes.Part:
        return nodes.Part(_span(children), str(children[0]), *_without_tokens(children))

    def keyword(self, children: Children) -> nodes.Path:
        """A keyword that is also a word of the language: `gradients = stage`."""
        span = _span(children)
        return nodes.Path(span, (nodes.Part(span, str(children[0])),))

    def call(self, children: Children) -> nodes.Call:
        return nodes.Call(_span(children), children[0], _list_in(children))

    def group(self, children: Children) -> nodes.Group:
        return nodes.Group(_span(children), children[1])

    def list(self, children: Children) -> nodes.List:
        return nodes.List(_span(children), _listed(children))
