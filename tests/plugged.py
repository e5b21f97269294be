"""Plug-ins for tests: what they bring is there while a test runs, and nowhere after it."""

import os
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from lnet.compiler import rules
from lnet.compiler.objectives import OBJECTIVE_KINDS, TERMS
from lnet.compiler.ops import LAYER_KINDS, OPS
from lnet.compiler.ops.position import ACTS
from lnet.compiler.plugins import load, registry
from lnet.runtime.analysis.report.sections import SECTIONS
from lnet.runtime.data.sources import SOURCES

TABLES = (OPS, ACTS, LAYER_KINDS, TERMS, OBJECTIVE_KINDS, rules.RULES)


@contextmanager
def no_plugins():
    """The language as it is; whatever is registered meanwhile is forgotten afterwards."""
    lists = [(table, list(table)) for table in (SOURCES, SECTIONS)]
    with ExitStack() as stack:
        for table in (*TABLES, registry._loaded, registry._brought, os.environ):
            stack.enter_context(patch.dict(table))
        os.environ.pop("LNET_PLUGINS", None)
        load._load.cache_clear()
        try:
            yield
        finally:
            for table, before in lists:
                table[:] = before
            load._load.cache_clear()
