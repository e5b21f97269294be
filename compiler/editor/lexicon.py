"""The names of the language by the part that they play, for those who colour a file without reading it."""

from __future__ import annotations

from lnet.compiler.language.declarations import RESERVED_ITEMS
from lnet.compiler.objectives import OBJECTIVE_KINDS
from lnet.compiler.ops import LAYER_KINDS
from lnet.compiler.words import CONSTANTS, TRAIN, vocabulary
from lnet.dsl.nodes import KEYWORDS


def lexicon() -> dict[str, tuple[str, ...]]:
    """Return the language's own names, sorted, by what they are."""
    known = vocabulary()
    parts = {
        "keyword": {*KEYWORDS, "include"},
        "constant": CONSTANTS,
        "kind": LAYER_KINDS,
        "objective": OBJECTIVE_KINDS,
        "setting": {row.name for row in TRAIN.given},
        "function": known.calls,
        "word": known.words,
        "extent": RESERVED_ITEMS,
    }
    return {part: tuple(sorted(names)) for part, names in parts.items()}
