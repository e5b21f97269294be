"""Templates of pages, with the common style as `style` and the common script of live pages as `live`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import jinja2
from markupsafe import Markup


@cache
def template(name: str, package: str) -> jinja2.Template:
    """Return a template from a package's folder."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals |= {"style": inline("style.css"), "live": inline("live.js")}
    return environment.from_string(_text(name, package))


def inline(name: str, package: str = __package__) -> Markup:
    """Return a file of style or script, as it stands in a page."""
    return Markup(_text(name, package))


def _text(name: str, package: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")
