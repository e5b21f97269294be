"""A search space: settings as `--set` takes them, with ranges and alternatives in their values.

    train.update = {adagrad(rate = 0.01..1), adam(rate = 1e-4..1e-2)}      let.field = {5, 7, 9}

`A..B` stands for a number and `{a, b}` for one of several expressions, which may have ranges and alternatives of their own.
The language has neither, so no expression changes its meaning. A value takes its place in the text, and the text is then an
expression like any other:

    text --read--> Template: "adagrad(rate = ", Range, ")" --at a point--> "adagrad(rate = 0.03)"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import isfinite, prod

from lnet.dsl.diagnostics import Diagnostic, LnetError, error_of, refused
from lnet.dsl.source import Source, Span

TENFOLD = 10
"""A range of positive numbers whose ends differ by this factor or more is logarithmic."""
Value = int | float | str
"""Of a range a number, of alternatives the label of one."""
Point = Mapping[str, Value]
"""A value of each variable that takes part, by its name."""


@dataclass(frozen=True, slots=True)
class Range:
    """`low..high`: integers, if both ends are."""

    name: str
    low: int | float
    high: int | float

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        """Whether equal ratios count as equal, not equal differences."""
        return self.low > 0 and self.high >= TENFOLD * self.low

    @property
    def text(self) -> str:
        """What is written for it."""
        return f"{self.low}..{self.high}"

    def __str__(self) -> str:
        return f"{self.text}{', logarithmic' * self.logarithmic}"


@dataclass(frozen=True, slots=True)
class Choice:
    """`{a, b, c}`: each alternative with a label of its own."""

    name: str
    labels: tuple[str, ...]
    options: tuple[Template, ...]

    @property
    def text(self) -> str:
        """What is written for it."""
        return f"{{{', '.join(self.labels)}}}"

    def __str__(self) -> str:
        return self.text

    def option(self, label: Value) -> Template:
        """Return an alternative by its label."""
        return self.options[self.labels.index(str(label))]


Variable = Range | Choice
Pick = Callable[[Variable], Value]


@dataclass(frozen=True, slots=True)
class Template:
    """An expression with variables in it."""

    parts: tuple[str | Variable, ...]

    def at(self, pick: Pick) -> str:
        """Return the expression with a value for each variable, as `pick` chooses it."""
        return "".join(part if isinstance(part, str) else _shown(part, pick) for part in self.parts)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All in it, in their order, those in alternatives after the choice itself."""
        found: list[Variable] = []
        for part in self.parts:
            if isinstance(part, Range | Choice):
                found.append(part)
            if isinstance(part, Choice):
                found.extend(variable for option in part.options for variable in option.variables)
        return tuple(found)

    @property
    def size(self) -> int | None:
        """The number of expressions that it stands for, None with a range."""
        sizes = [1 if isinstance(part, str) else _size(part) for part in self.parts]
        known = [size for size in sizes if size is not None]
        return prod(known) if len(known) == len(sizes) else None

    def points(self) -> Iterator[Point]:
        """Yield each point of a template without ranges."""
        return _joined([_points(part) for part in self.parts if isinstance(part, Choice)])

    def corners(self) -> Iterator[Point]:
        """Yield points in which each alternative and both ends of each range occur, beside the first ones of all others."""
        every = [list(_corners(part)) for part in self.parts if not isinstance(part, str)]
        for place, corners in enumerate(every):
            for corner in corners if place == 0 else corners[1:]:
                others = [each[0] for number, each in enumerate(every) if number != place]
                yield {name: value for part in (*others, corner) for name, value in part.items()}
        if not every:
            yield {}


def value_text(value: Value) -> str:
    """Return a value as it stands in an expression: numbers that are no integers to five digits."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _shown(variable: Variable, pick: Pick) -> str:
    value = pick(variable)
    return variable.option(value).at(pick) if isinstance(variable, Choice) else value_text(value)


def _size(variable: Variable) -> int | None:
    if isinstance(variable, Range):
        return None
    sizes = [option.size for option in variable.options]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _points(choice: Choice) -> Iterator[Point]:
    for label, option in zip(choice.labels, choice.options, strict=True):
        yield from ({choice.name: label, **point} for point in option.points())


def _corners(variable: Variable) -> Iterator[Point]:
    if isinstance(variable, Range):
        yield from ({variable.name: end} for end in (variable.low, variable.high))
    else:
        for label, option in zip(variable.labels, variable.options, strict=True):
            yield from ({variable.name: label, **corner} for corner in option.corners())


def _joined(parts: Sequence[Iterator[Point]]) -> Iterator[Point]:
    for chosen in product(*parts):
        yield {name: value for point in chosen for name, value in point.items()}


@dataclass(frozen=True)
class Space:
    """Settings by name, those that vary and those that do not."""

    settings: Mapping[str, Template]

    @cached_property
    def whole(self) -> Template:
        """All settings in one, of which only the variables count."""
        return Template(tuple(part for template in self.settings.values() for part in template.parts))

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self.whole.variables

    def at(self, pick: Pick) -> dict[str, str]:
        """Return all settings with a value for each variable, as `pick` chooses it."""
        return {name: template.at(pick) for name, template in self.settings.items()}

    def at_point(self, point: Point) -> dict[str, str]:
        """Return all settings at a point."""
        return self.at(lambda variable: point[variable.name])


def read_space(texts: Mapping[str, str]) -> Space:
    """Return the space of settings, by name and text; raises `LnetError` for a malformed or an unvaried one."""
    space = Space({name: _Reader(name, text).read() for name, text in texts.items()})
    if not space.variables:
        raise refused(
            "E790",
            "no setting varies, so there is nothing to search",
            hint="--set 'train.update = adam(rate = 1e-4..1e-2)', --set 'let.field = {5, 7, 9}'",
        )
    return space


# --- text to templates ------------------------------------------------------------------------------------------------

_NUMBER = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"""
    (?P<text>   "(?:[^"\\\n]|\\[^\n])*" | \s+ )
  | (?P<range>  (?P<low>{_NUMBER}) \s*\.\.\s* (?P<high>-?{_NUMBER}) (?![\w.]) )
  | (?P<number> \d\w*(?:\.\w+)* )
  | (?P<name>   [A-Za-z_]\w* )
  | (?P<dots>   \.\.+ )
  | (?P<symbol> . )
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_CLOSES = {"(": ")", "[": "]"}
_RANGE = "a range is two numbers, the smaller one first: 0.01..0.1"
_BEFORE_A_SIGN = ("", *"([{,=+-*/")
"""What a minus follows that belongs to a number."""


class _Reader:
    """Reads the template of one setting."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.begin = name, len(name) + 3
        self.source = Source(f"{name} = {text}", "--set")
        self.tokens = list(_TOKEN.finditer(text))
        self.place = 0
        self.named: dict[str, int] = {}

    def read(self) -> Template:
        return Template(tuple(self._expression((self.name,), "", False)))

    def _next(self) -> re.Match[str] | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def _expression(self, path: tuple[str, ...], ends: str, alternative: bool) -> list[str | Variable]:
        """Read as far as one of `ends`; `path`: of names; a call in an `alternative` adds its own to it."""
        parts: list[str | Variable] = []
        call = ""
        while (token := self._next()) is not None and token[0] not in tuple(ends):
            self.place += 1
            if token.lastgroup == "range":
                parts.append(self._range(path, token, parts))
            elif token[0] == "{":
                parts.append(self._choice(path, token))
            elif token[0] in _CLOSES:
                inner = (*path, call) if alternative and call else path
                parts += [token[0], *self._arguments(inner, _CLOSES[token[0]])]
            elif token[0] == "}" or token.lastgroup == "dots":
                raise self._error(
                    token.span(),
                    f"'{token[0]}' stands alone",
                    "alternatives are written {5, 7, 9}" if token[0] == "}" else _RANGE,
                )
            else:
                parts.append(token[0])
            call = token[0] if token.lastgroup == "name" else call if token[0].isspace() else ""
        return parts

    def _arguments(self, path: tuple[str, ...], close: str) -> Iterator[str | Variable]:
        """Read as far as a bracket closes."""
        number = 0
        while self._next() is not None:
            number += 1
            yield from self._expression((*path, self._argument() or str(number)), f",{close}", False)
            end = self._next()
            if end is not None:
                self.place += 1
                yield end[0]
                if end[0] == close:
                    return

    def _argument(self) -> str:
        """Return the name of the argument that begins here, if it has one."""
        ahead = [token for token in self.tokens[self.place : self.place + 4] if not token[0].isspace()]
        named = len(ahead) > 1 and ahead[0].lastgroup == "name" and ahead[1][0] == "="
        return ahead[0][0] if named else ""

    def _choice(self, path: tuple[str, ...], begin: re.Match[str]) -> Choice:
        name, options = self._unique(path), list[Template]()
        while True:
            options.append(_stripped(self._expression(path, ",}", True)))
            end = self._next()
            if end is None:
                raise self._error(begin.span(), "'{' is not closed", "alternatives are written {5, 7, 9}")
            self.place += 1
            if not options[-1].parts:
                raise self._error(end.span(), "an alternative is missing before this", "write {5, 7, 9}")
            if end[0] == "}":
                break
        labels, span = _labels(options), (begin.start(), self.tokens[self.place - 1].end())
        if len(labels) < 2:
            raise self._error(span, "one alternative is no choice", "write it without the braces")
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise self._error(span, f"the alternative '{twice}' is there twice", "leave one of them out")
        return Choice(name, labels, tuple(options))

    def _range(self, path: tuple[str, ...], token: re.Match[str], before: list[str | Variable]) -> Range:
        low, high = _number(token["low"]), _number(token["high"])
        written = [part.strip() if isinstance(part, str) else "x" for part in before]
        written = ["", *(part for part in written if part)]
        if written[-1] == "-" and written[-2][-1:] in _BEFORE_A_SIGN:
            low = -low
            del before[max(place for place, part in enumerate(before) if part == "-") :]
        if not low < high or not isfinite(low) or not isfinite(high):
            raise self._error(token.span(), f"'{token[0]}' is no range", _RANGE)
        return Range(self._unique(path), low, high)

    def _unique(self, path: tuple[str, ...]) -> str:
        name = ".".join(path)
        self.named[name] = self.named.get(name, 0) + 1
        return name if self.named[name] == 1 else f"{name} ({self.named[name]})"

    def _error(self, span: tuple[int, int], message: str, hint: str) -> LnetError:
        place = Span(self.begin + span[0], self.begin + span[1])
        return error_of([Diagnostic("E790", message, place, hints=(hint,))], self.source)


def _number(text: str) -> int | float:
    return int(text) if text.removeprefix("-").isdecimal() else float(text)


def _stripped(parts: list[str | Variable]) -> Template:
    """Return the template of parts without the blanks around them."""
    while parts and isinstance(parts[0], str) and not parts[0].strip():
        parts = parts[1:]
    while parts and isinstance(parts[-1], str) and not parts[-1].strip():
        parts = parts[:-1]
    return Template(tuple(parts))


def _labels(options: Sequence[Template]) -> tuple[str, ...]:
    """Return a label for each alternative: its text, or of one with variables the name of the call, if no other has that."""
    texts = [[part if isinstance(part, str) else part.text for part in option.parts] for option in options]
    calls = [text[0] for text in texts]
    return tuple(
        text[0] if option.variables and calls.count(text[0]) == 1 else "".join(text)
        for option, text in zip(options, texts, strict=True)
    )
