"""Pages of the runs on a cluster, on the HTTP server of Dask's scheduler: beside its dashboard, with or without one.

    /lnet              the runs that are there now
    /lnet/RUN          one of them, kept up to date by its page
    /lnet/RUN.json     what the page asks for

What moves or changes names of Dask's HTTP server is here. Tornado, which it is made of, finds routes that were added
later, and takes none away: they find no run when there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from distributed import Client, Scheduler
from tornado.web import HTTPError, RequestHandler

from lnet.runtime.cluster import clock
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.pages.templates import template

from .outliers import ROWS
from .overview import Overview

Runs = Callable[[], Mapping[str, Overview]]
"""Returns the runs that are there now, by the beginning of their tokens."""


def serve(scheduler: Scheduler, runs: Runs) -> None:
    """Add the pages to a scheduler's HTTP server."""
    scheduler.http_application.add_handlers(".*", routes(runs))


def page_address(client: Client, config: RunConfig) -> str | None:
    """Return where a run's page is, beside the dashboard; None if the scheduler has no HTTP server."""
    link: str | None = client.dashboard_link
    return urljoin(link, f"lnet/{config.short}") if link else None


def routes(runs: Runs) -> list[Any]:
    """Return Tornado's routes of the pages."""
    given = {"runs": runs}
    return [
        (r"/lnet/?", _List, given),
        (r"/lnet/(\w+)\.json", _State, given),
        (r"/lnet/(\w+)", _Page, given),
    ]


class _Handler(RequestHandler):
    def initialize(self, runs: Runs) -> None:
        self.runs = runs

    def render_page(self, name: str, **content: Any) -> None:
        self.write(template(name, __package__).render(content))

    def state(self, short: str) -> dict[str, Any]:
        """Return the overview of a run; raises a 404."""
        overview = self.runs().get(short)
        if overview is None:
            raise HTTPError(404)
        return overview.state(clock.now())


class _List(_Handler):
    def get(self) -> None:
        now = clock.now()
        self.render_page("runs.html", runs=[overview.state(now) for overview in self.runs().values()])


class _State(_Handler):
    def get(self, short: str) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(self.state(short))


class _Page(_Handler):
    def get(self, short: str) -> None:
        self.render_page("run.html", state=self.state(short), rows=ROWS)
