"""Modules to text, in the standard layout of `lnetc fmt`.

A block is a run of rows. In rows without a blank line between them, values after `:` or `=` and trailing comments are
aligned. A comment belongs to the row below it or to its left; comments inside parentheses put each argument on a line
of its own. Numbers keep their spelling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from . import nodes
from .diagnostics import Collector
from .parser import parse_file
from .source import Source, Span

WIDTH = 100
INDENT = "    "


def format_source(source: Source) -> str:
    """Return a file, without those it includes, in the standard layout; raises `LnetError` for syntax errors."""
    collector = Collector(source)
    module = parse_file(collector)
    collector.raise_errors()
    return _Printer(module, source).text()


def format_module(module: nodes.Module) -> str:
    """Return a module as text; parsing it gives an equal module."""
    return _Printer(module, None).text()


@dataclass
class _Row:
    """A line of a block: an aligned head (`pool:`), a body, a trailing comment."""

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
            lines += self._comment_lines(self.module.version.span.start, between=False)
            lines.append(f"lnet {self.module.version.text}{self._trailing(self.module.version.span)}")
        for declaration in self.module.declarations:
            comments = self._comment_lines(declaration.span.start, between=bool(lines))
            block = self._declaration(declaration)
            if comments:
                gap = self._blank_above(declaration.span.start)
            else:
                gap = bool(lines) and not self._stand_together(lines, block)
            lines += [*comments, *([""] if gap else []), *block]
        return "\n".join([*lines, *self._comment_lines(None, between=bool(lines))]) + "\n"

    def _comment_lines(self, before: int | None, between: bool) -> list[str]:
        """Take the comments before a place, with the blank lines above them in the file.

        A blank line is added above comments between declarations, except right below the version line.
        """
        lines: list[str] = []
        for comment in self._own_lines_before(before):
            first = between and not lines and not self._follows_version(comment)
            if first or ((lines or between) and self._blank_above(comment.span.start)):
                lines.append("")
            lines.append(comment.text)
        return lines

    def _follows_version(self, comment: nodes.Comment) -> bool:
        version, first = self.module.version, self.module.declarations[:1]
        after = version is not None and comment.span.start > version.span.start
        return after and all(comment.span.start < declaration.span.start for declaration in first)

    def _stand_together(self, lines: list[str], block: list[str]) -> bool:
        """Whether no blank line separates two declarations: both are constants, or both include."""
        return any(lines[-1].startswith(word) and block[0].startswith(word) for word in ("let ", "include "))

    def _blank_above(self, offset: int) -> bool:
        """Whether the line above a place is blank in the file."""
        if self.source is None:
            return False
        number = self.source.position(offset)[0]
        return number > 1 and not self.source.line(number - 1).strip()

    # --- comments ----------------------------------------------------------------------------------------

    def _own_lines_before(self, offset: int | None) -> list[nodes.Comment]:
        """Take the comments before a place."""
        taken = []
        while self.comments and (offset is None or self.comments[-1].span.start < offset):
            taken.append(self.comments.pop())
        return taken

    def _trailing(self, span: Span) -> str:
        """Take the trailing comment on a node's last line."""
        if self.source is None or not self.comments:
            return ""
        comment = self.comments[-1]
        line = self.source.position(max(span.start, span.end - 1))[0]
        if comment.span.start < span.end or self.source.position(comment.span.start)[0] != line:
            return ""
        self.comments.pop()
        return f"  {comment.text}"

    def _has_comment_in(self, span: Span) -> bool:
        """Whether the next comment is inside a node."""
        return bool(self.comments) and span.start < self.comments[-1].span.start < span.end

    # --- declarations ------------------------------------------------------------------------------------

    def _declaration(self, node: nodes.Declaration) -> list[str]:
        match node:
            case nodes.Let():
                value = self._spread_or_flat(f"let {node.name.text} = ", node.value, "")
                return _with_trailing(value, self._trailing(node.span))
            case nodes.Include():
                return [f"include {expression_text(node.path)}{self._trailing(node.span)}"]
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
        for entry in entries:
            self._add_comments(rows, entry.span.start)
            rows.append(self._row(entry, bool(rows) and self._blank_above(entry.span.start)))
        if self.source is not None:
            self._add_comments(rows, span.end)
        return [f"{head} {{", *_aligned(rows), "}" + self._trailing(span)]

    def _add_comments(self, rows: list[_Row], before: int) -> None:
        for comment in self._own_lines_before(before):
            rows.append(
                _Row(comment.text, "", gap_before=bool(rows) and self._blank_above(comment.span.start))
            )

    def _row(self, entry: nodes.Item | nodes.Setting | nodes.Broken, gap: bool) -> _Row:
        assert not isinstance(entry, nodes.Broken), "printer: a module with errors has no layout"
        if isinstance(entry, nodes.Item):
            count = "" if entry.count is None else f"[{expression_text(entry.count)}]"
            head = f"{entry.name.text}{count}:"
            call = nodes.Call(entry.span, entry.kind, entry.arguments)
            body = "\n".join(self._spread_or_flat("", call, INDENT, len(INDENT) + len(head) + 1))
        else:
            head = entry.name.text
            body = "= " + "\n".join(self._spread_or_flat("", entry.value, INDENT, len(head) + 8))
        return _Row(head, body, self._trailing(entry.span).strip(), gap)

    # --- expressions -------------------------------------------------------------------------------------

    def _spread_or_flat(self, before: str, expr: nodes.Expr, indent: str, column: int = 0) -> list[str]:
        """Return an expression on one line, or with one argument a line if it is too long or has comments."""
        flat = before + expression_text(expr)
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
            lines += [inner + comment.text for comment in self._own_lines_before(part.span.start)]
            text = _argument(part) if isinstance(part, nodes.Argument) else expression_text(part)
            trailing = self._trailing(part.span) if self._has_comment_in(expr.span) else ""
            lines.append(f"{inner}{text},{trailing}")
        lines += [inner + comment.text for comment in self._own_lines_before(expr.span.end)]
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
    default = "" if parameter.default is None else f" = {expression_text(parameter.default)}"
    return parameter.name.text + default


def _argument(argument: nodes.Argument) -> str:
    name = "" if argument.name is None else f"{argument.name.text} = "
    return name + expression_text(argument.value)


def quoted(text: str) -> str:
    """Return a text as the language writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def expression_text(expr: nodes.Expr) -> str:
    """Return an expression on one line."""
    match expr:
        case nodes.Number(text=text) | nodes.SizeWord(text=text):
            return text
        case nodes.Path(parts=parts):
            return ".".join(map(_part, parts))
        case nodes.String(value=value):
            return quoted(value)
        case nodes.Constant(value=value):
            return "none" if value is None else str(value).lower()
        case nodes.Negative(operand=operand):
            return f"-{expression_text(operand)}"
        case nodes.Chain(first=first, rest=rest):
            return " ".join(
                [
                    expression_text(first),
                    *(f"{operator} {expression_text(operand)}" for operator, operand in rest),
                ]
            )
        case nodes.Group(inner=inner):
            return f"({expression_text(inner)})"
        case nodes.List(items=items):
            return f"[{_joined(map(expression_text, items))}]"
        case nodes.Call(name=name, arguments=arguments):
            return f"{name.text}({_joined(map(_argument, arguments))})"


def _part(part: nodes.Part) -> str:
    return part.name if part.index is None else f"{part.name}[{expression_text(part.index)}]"


def _joined(parts: Iterable[str]) -> str:
    return ", ".join(parts)
