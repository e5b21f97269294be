"""Modules to text, in the one layout that `lnetc fmt` knows.

A block is a run of rows. Rows that follow one another without a blank line are aligned: what stands behind the `:`
or `=`, and the comments at their ends. Comments go with the row that they stand before or behind; comments inside
parentheses put each argument on a line of its own. Numbers stay as they were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from . import nodes
from .diagnostics import Collector
from .parser import parse_source
from .source import Source, Span

WIDTH = 100
INDENT = "    "


def format_source(source: Source) -> str:
    """Return a file in the standard layout; raises `LnetError`, with nothing changed, if it has syntax errors."""
    collector = Collector(source)
    module = parse_source(collector)
    collector.raise_errors()
    return _Printer(module, source).text()


def format_module(module: nodes.Module) -> str:
    """Return a module as text; parsing it gives an equal module."""
    return _Printer(module, None).text()


@dataclass
class _Row:
    """A line of a block: a head that is aligned (`pool:`), a body, a comment at its end."""

    head: str
    body: str
    comment: str = ""
    gap_before: bool = False


@dataclass
class _Printer:
    module: nodes.Module
    source: Source | None
    comments: list[nodes.Comment] = field(default_factory=list)

    def text(self) -> str:
        self.comments = sorted(self.module.comments, key=lambda c: c.span.start, reverse=True)
        lines: list[str] = []
        if self.module.version is not None:
            lines += self._own_lines_before(self.module.version.span.start)
            lines.append(f"lnet {self.module.version.text}{self._trailing(self.module.version.span)}")
        for declaration in self.module.declarations:
            above = self._own_lines_before(declaration.span.start)
            block = self._declaration(declaration)
            if lines and not (above and self._follows_version(lines)) and not self._lets(lines, block):
                lines.append("")
            lines += above + block
        rest = self._own_lines_before(None)
        if lines and rest:
            lines.append("")
        return "\n".join([*lines, *rest]) + "\n"

    def _follows_version(self, lines: list[str]) -> bool:
        return len(lines) == 1 and lines[0].startswith("lnet ")

    def _lets(self, lines: list[str], block: list[str]) -> bool:
        """Constants stand together."""
        return lines[-1].startswith("let ") and block[0].startswith("let ")

    # --- comments ----------------------------------------------------------------------------------------

    def _own_lines_before(self, offset: int | None) -> list[str]:
        """Take the comments before a place, a line each."""
        lines = []
        while self.comments and (offset is None or self.comments[-1].span.start < offset):
            lines.append(self.comments.pop().text)
        return lines

    def _trailing(self, span: Span) -> str:
        """Take the comment behind a node on its last line."""
        if self.source is None or not self.comments:
            return ""
        comment = self.comments[-1]
        line = self.source.position(max(span.start, span.end - 1))[0]
        if comment.span.start < span.end or self.source.position(comment.span.start)[0] != line:
            return ""
        self.comments.pop()
        return f"  {comment.text}"

    def _has_comment_in(self, span: Span) -> bool:
        """Whether the next comment stands inside a node."""
        return bool(self.comments) and span.start < self.comments[-1].span.start < span.end

    # --- declarations ------------------------------------------------------------------------------------

    def _declaration(self, node: nodes.Declaration) -> list[str]:
        match node:
            case nodes.Let():
                value = self._spread_or_flat(f"let {node.name.text} = ", node.value, "")
                return _with_trailing(value, self._trailing(node.span))
            case nodes.Stage():
                parameters = ", ".join(map(_parameter, node.parameters))
                return self._block(f"stage {node.name.text}({parameters})", node.items, node.span)
            case nodes.Network():
                return self._block(f"network {node.name.text}", node.items, node.span)
            case nodes.Train():
                return self._block("train", node.settings, node.span)
            case nodes.Broken():
                raise AssertionError("printer: a module with errors has no layout")

    def _block(
        self, head: str, entries: Sequence[nodes.Item | nodes.Setting | nodes.Broken], span: Span
    ) -> list[str]:
        rows: list[_Row] = []
        previous: nodes.Node | None = None
        for entry in entries:
            gap = previous is not None and self._blank_between(previous, entry)
            rows += self._comment_rows(entry.span.start, gap)
            row = self._row(entry, gap and not (rows and rows[-1].gap_before and not rows[-1].body))
            rows.append(row)
            previous = entry
        end = self._comment_rows(span.end, False) if self.source else []
        return [f"{head} {{", *_aligned([*rows, *end]), "}" + self._trailing(span)]

    def _comment_rows(self, before: int, gap: bool) -> list[_Row]:
        lines = self._own_lines_before(before)
        return [_Row(line, "", gap_before=gap and i == 0) for i, line in enumerate(lines)]

    def _row(self, entry: nodes.Item | nodes.Setting | nodes.Broken, gap: bool) -> _Row:
        assert not isinstance(entry, nodes.Broken), "printer: a module with errors has no layout"
        if isinstance(entry, nodes.Item):
            head = f"{entry.name.text}:"
            call = nodes.Call(entry.span, entry.kind, entry.arguments)
            body = "\n".join(self._spread_or_flat("", call, INDENT, len(INDENT) + len(head) + 1))
        else:
            head = entry.name.text
            body = "= " + "\n".join(self._spread_or_flat("", entry.value, INDENT, len(head) + 8))
        return _Row(head, body, self._trailing(entry.span).strip(), gap)

    def _blank_between(self, first: nodes.Node, second: nodes.Node) -> bool:
        if self.source is None:
            return False
        between = self.source.text[first.span.end : second.span.start]
        return any(not line.strip() for line in between.split("\n")[1:-1])

    # --- expressions -------------------------------------------------------------------------------------

    def _spread_or_flat(self, before: str, expr: nodes.Expr, indent: str, column: int = 0) -> list[str]:
        """Return an expression on one line, or with each argument on its own where that is needed."""
        flat = before + _expr(expr)
        spreads = isinstance(expr, nodes.Call | nodes.List) and _parts(expr)
        too_long = len(flat) + column > WIDTH and "\n" not in flat
        if not spreads or not (too_long or self._has_comment_in(expr.span)):
            return flat.split("\n")
        return self._spread(before, expr, indent)

    def _spread(self, before: str, expr: nodes.Expr, indent: str) -> list[str]:
        opening, closing = (f"{expr.name.text}(", ")") if isinstance(expr, nodes.Call) else ("[", "]")
        inner = indent + INDENT
        lines = [before + opening]
        for part in _parts(expr):
            lines += [inner + line for line in self._own_lines_before(part.span.start)]
            text = _argument(part) if isinstance(part, nodes.Argument) else _expr(part)
            comment = self._trailing(part.span) if self._has_comment_in(expr.span) else ""
            lines.append(f"{inner}{text},{comment}")
        lines += [inner + line for line in self._own_lines_before(expr.span.end)]
        return [*lines, indent + closing]


def _parts(expr: nodes.Expr) -> tuple[nodes.Argument, ...] | tuple[nodes.Expr, ...]:
    match expr:
        case nodes.Call(arguments=parts):
            return parts
        case nodes.List(items=items):
            return items
        case _:
            return ()


def _with_trailing(lines: list[str], comment: str) -> list[str]:
    return [*lines[:-1], lines[-1] + comment]


def _aligned(rows: Sequence[_Row]) -> Iterator[str]:
    """Return rows with heads and comments aligned, in runs without a blank line."""
    for run in _runs(rows):
        if run[0].gap_before:
            yield ""
        width = max((len(row.head) for row in run if row.body), default=0)
        plain = [f"{row.head:{width}} {row.body}" if row.body else row.head for row in run]
        short = [line for line, row in zip(plain, run, strict=True) if row.comment and "\n" not in line]
        column = max(map(len, short), default=0)
        for line, row in zip(plain, run, strict=True):
            yield INDENT + (f"{line:{column}}  {row.comment}" if row.comment else line)


def _runs(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    run: list[_Row] = []
    for row in rows:
        if row.gap_before and run:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _parameter(parameter: nodes.Parameter) -> str:
    default = "" if parameter.default is None else f" = {_expr(parameter.default)}"
    return parameter.name.text + default


def _argument(argument: nodes.Argument) -> str:
    name = "" if argument.name is None else f"{argument.name.text} = "
    return name + _expr(argument.value)


def _expr(expr: nodes.Expr) -> str:
    match expr:
        case nodes.Number(text=text) | nodes.SizeWord(text=text):
            return text
        case nodes.Path():
            return expr.text
        case nodes.String(value=value):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case nodes.Constant(value=value):
            return "none" if value is None else str(value).lower()
        case nodes.Negative(operand=operand):
            return f"-{_expr(operand)}"
        case nodes.Chain(first=first, rest=rest):
            return " ".join([_expr(first), *(f"{operator} {_expr(operand)}" for operator, operand in rest)])
        case nodes.Group(inner=inner):
            return f"({_expr(inner)})"
        case nodes.List(items=items):
            return f"[{_joined(map(_expr, items))}]"
        case nodes.Call(name=name, arguments=arguments):
            return f"{name.text}({_joined(map(_argument, arguments))})"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
