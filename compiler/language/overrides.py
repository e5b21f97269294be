"""Settings given beside the file: `--set train.batch=50`, `--set let.k=7`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from lnet.compiler.words import TRAIN
from lnet.dsl import nodes
from lnet.dsl.diagnostics import LnetError, did_you_mean, refused
from lnet.dsl.parser import parse
from lnet.dsl.source import Span

from .hints import setting_hints

T = TypeVar("T")
NOWHERE = Span(0, 0)
INSTEAD = {"steps": "epochs", "epochs": "steps"}
"""Settings of which the file's one makes way where the other is given beside the file."""


def apply_overrides(module: nodes.Module, overrides: Mapping[str, str]) -> nodes.Module:
    """Return the module with constants and settings replaced.

    The new expressions take the spans of the old ones, so that their errors are reported there.
    Raises `LnetError` for a name that cannot be set and for text that is no expression.
    """
    for name, text in overrides.items():
        kind, _, key = name.partition(".")
        value = _expression(name, text)
        if kind == "let" and key:
            module = _replace_let(module, key, value)
        elif kind == "train" and key.isidentifier():
            other = INSTEAD.get(key, "")
            module = _replace_setting(module, key, value, "" if f"train.{other}" in overrides else other)
        else:
            raise _refused(
                f"'{name}' cannot be set",
                "what can be set is 'train.KEY' and 'let.NAME'",
                _meant(name, module),
            )
    return module


def _meant(name: str, module: nodes.Module) -> tuple[str, ...]:
    """Return a hint for a name that is neither `train.KEY` nor `let.NAME`."""
    key = name.removeprefix("train.").partition(".")[0]
    known = {row.name: f"train.{row.name}" for row in TRAIN.given} | {n: f"let.{n}" for n in _lets(module)}
    meant = [full for short, full in known.items() if short.casefold() == key.casefold()]
    return (f"did you mean '{meant[0]}'?",) if meant else setting_hints(key)


def _lets(module: nodes.Module) -> list[str]:
    return [d.name.text for d in module.declarations if isinstance(d, nodes.Let)]


def later(before: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Return the settings given before and these, which take the place of those that they contradict."""
    gone = {f"train.{other}" for key, other in INSTEAD.items() if f"train.{key}" in overrides}
    return {name: text for name, text in before.items() if name not in gone} | dict(overrides)


def as_text(value: object) -> str:
    """Return a Python value as an expression of the language; text is taken to be one."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)


def overridden(module: nodes.Module, overrides: Mapping[str, str]) -> dict[Span, str]:
    """Return notes on the overridden places."""
    places: dict[Span, str] = {}
    for declaration in module.declarations:
        if isinstance(declaration, nodes.Let):
            _note(places, declaration.value.span, f"let.{declaration.name.text}", overrides)
        if isinstance(declaration, nodes.Train):
            for setting in declaration.settings:
                if isinstance(setting, nodes.Setting):
                    _note(places, setting.value.span, f"train.{setting.name.text}", overrides)
    return places


def _note(places: dict[Span, str], span: Span, name: str, overrides: Mapping[str, str]) -> None:
    if name in overrides:
        places[span] = f"'{name}' was set to '{overrides[name]}' beside the file"


def _expression(name: str, text: str) -> nodes.Expr:
    module = parse(f"let value = {text}\n", f"--set {name}={text}")
    declaration = module.declarations[0]
    if len(module.declarations) != 1 or not isinstance(declaration, nodes.Let):
        raise _refused(f"'{text}' is not one value", f"it was given for '{name}'")
    return declaration.value


def _replace_let(module: nodes.Module, key: str, value: nodes.Expr) -> nodes.Module:
    names = _lets(module)
    if key not in names:
        raise _refused(
            f"the file has no 'let {key}'", "only what is there can be set", did_you_mean(key, names)
        )
    return replace(
        module,
        declarations=tuple(
            replace(d, value=_at(value, d.value.span))
            if isinstance(d, nodes.Let) and d.name.text == key
            else d
            for d in module.declarations
        ),
    )


def _replace_setting(module: nodes.Module, key: str, value: nodes.Expr, instead: str) -> nodes.Module:
    if not any(isinstance(d, nodes.Train) for d in module.declarations):
        module = replace(module, declarations=(*module.declarations, nodes.Train(NOWHERE, ())))
    return replace(
        module,
        declarations=tuple(
            _with_setting(d, key, value, instead) if isinstance(d, nodes.Train) else d
            for d in module.declarations
        ),
    )


def _with_setting(train: nodes.Train, key: str, value: nodes.Expr, instead: str) -> nodes.Train:
    settings = [s for s in train.settings if not (isinstance(s, nodes.Setting) and s.name.text == instead)]
    train = replace(train, settings=tuple(settings))
    for i, setting in enumerate(settings):
        if isinstance(setting, nodes.Setting) and setting.name.text == key:
            settings[i] = replace(setting, value=_at(value, setting.value.span))
            return replace(train, settings=tuple(settings))
    new = nodes.Setting(train.span, nodes.Name(train.span, key), _at(value, train.span))
    return replace(train, settings=(*settings, new))


def _at(node: T, span: Span) -> T:
    """Return a syntax tree with every node at one place."""
    return nodes.respanned(node, lambda _: span)


def _refused(message: str, note: str, hints: tuple[str, ...] = ()) -> LnetError:
    return refused("E511", message, note, hint=hints)
