"""The page of a report: its head and its sections."""

from __future__ import annotations

from lnet.runtime.pages.templates import template
from lnet.runtime.process.counted import counted

from .head import head
from .material import Material
from .sections import SECTIONS, check_anchors


def page(material: Material) -> str:
    """Return the page."""
    check_anchors(SECTIONS)
    shown = []
    for section in counted("parts of the report", SECTIONS, len(SECTIONS)):
        body = section.body(material)
        if body is not None:
            shown.append({"anchor": section.anchor, "title": section.title, "body": body})
    return template("page.html", __package__).render(head(material), sections=shown)
