"""The reference of the public names in docs/api.md, made of their signatures and docstrings: `make docs`.

It stands between the lines `<!-- names -->` and `<!-- end -->`; a test compares.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lnet

PAGE = Path(__file__).parent / "api.md"
BLOCK = re.compile(r"(<!-- names -->\n).*?(<!-- end -->)", re.DOTALL)
OPERATORS = {"__call__": "{}(images)", "__getitem__": "{}[neuron]"}
"""The public methods that have no name, as they are written."""
WIDTH = 96


def written(text: str) -> str:
    """Return the page with the reference made anew; raises ValueError for a public name without a docstring."""
    return BLOCK.sub(lambda block: f"{block[1]}\n{reference()}\n{block[2]}", text)


def reference() -> str:
    """Return the reference of all public names in Markdown."""
    public = {name: getattr(lnet, name) for name in lnet.__all__}
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    errors = {name: value for name, value in classes.items() if issubclass(value, Exception)}
    parts = {
        "Functions": [_function(name, f) for name, f in public.items() if name not in classes],
        "Classes": [_class(name, c) for name, c in classes.items() if name not in errors],
        "Errors": [_class(name, c) for name, c in errors.items()],
    }
    return "\n\n".join(f"## {title}\n\n" + "\n\n".join(entries) for title, entries in parts.items())


def members_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public properties and methods that a class defines, by name."""
    for name, value in vars(kind).items():
        is_member = inspect.isfunction(value) or isinstance(value, property | cached_property)
        if is_member and (name in OPERATORS or not name.startswith("_")):
            yield name, value


def documented(name: str, value: object) -> str:
    """Return a docstring as Markdown: a column of words and what they mean is a list. Raises ValueError for none."""
    text = inspect.getdoc(value)
    if not text:
        raise ValueError(f"'{name}' has no docstring")
    return re.sub(r"^(\w+) {2,}(?=\S)", r"- `\1`: ", text, flags=re.MULTILINE)


def _function(name: str, function: Callable[..., Any]) -> str:
    return f"### {name}\n\n```python\n{_call(name, function)}\n```\n\n{documented(name, function)}"


def _class(name: str, kind: type) -> str:
    lines = [f"class {name}{_beginning(kind)}", *(f"    {field}: {text}" for field, text in _fields(kind))]
    members = [_member(name, member, value) for member, value in members_of(kind)]
    code = "\n".join(lines)
    return "\n\n".join((f"### {name}\n\n```python\n{code}\n```", documented(name, kind), *members))


def _beginning(kind: type) -> str:
    """Return what stands behind the name of a class: of errors what they are, of others how they are made."""
    if issubclass(kind, Exception):
        return "".join(f"({base.__name__})" for base in kind.__bases__)
    return "" if is_dataclass(kind) else f"({', '.join(_parameters(inspect.signature(kind)))})"


def _fields(kind: type) -> Iterator[tuple[str, str]]:
    """Yield what instances hold: fields of dataclasses, attributes of others."""
    if is_dataclass(kind):
        yield from ((field.name, str(field.type)) for field in fields(kind))
    else:
        yield from inspect.get_annotations(kind).items()


def _member(owner: str, name: str, value: Any) -> str:
    whole = f"{owner}.{name}"
    if isinstance(value, property | cached_property):
        function = value.fget if isinstance(value, property) else value.func
        shown = f"{whole}: {inspect.signature(function).return_annotation}"  # type: ignore[arg-type]
    else:
        shown = _call(OPERATORS[name].format(owner.lower()) if name in OPERATORS else whole, value)
    return f"```python\n{shown}\n```\n\n{documented(whole, value)}"


def _call(name: str, function: Callable[..., Any]) -> str:
    """Return a signature on a line, or where it is long with a line for each parameter."""
    signature = inspect.signature(function)
    if "(" in name or "[" in name:
        return f"{name} -> {signature.return_annotation}"
    given = list(_parameters(signature))
    line = f"{name}({', '.join(given)}) -> {signature.return_annotation}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {each},\n" for each in given) + f") -> {signature.return_annotation}"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    keyword = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword:
            keyword = True
            yield "*"
        if parameter.name != "self":
            default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
            yield f"{parameter.name}: {parameter.annotation}{default}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
