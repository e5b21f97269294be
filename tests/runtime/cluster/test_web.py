"""The pages of runs on a scheduler, read as a program does and as a browser shows them."""

import asyncio
import html
import json
import re
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace

import pytest
from chromium import needs_browser, open_address
from made_events import event, tile
from processes import Watching, cluster, images, plan_of
from test_view import ROLES, step, update
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

import lnet
from lnet.runtime.cluster.config import RunConfig
from lnet.runtime.cluster.monitor.overview import Overview
from lnet.runtime.cluster.monitor.web import routes
from lnet.runtime.store.events import CheckpointWritten, MessagesRefused, Noted, RolledBack, StandbyPromoted


def overview(directory="/runs/a"):
    config = RunConfig("0123abcd" * 4, plan_of(replicas=2).to_json(), directory, "", None, 2, 2)
    return Overview(config)


@contextmanager
def served(runs):
    """A server with the pages, in a thread of its own."""
    started, addresses, stop = threading.Event(), [], []

    async def serve():
        (socket,) = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application(routes(runs)))
        server.add_sockets([socket])
        stop.extend([asyncio.get_running_loop(), asyncio.Event()])
        addresses.append(f"http://127.0.0.1:{socket.getsockname()[1]}")
        started.set()
        await stop[1].wait()
        server.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield addresses[0]
    finally:
        stop[0].call_soon_threadsafe(stop[1].set)
        thread.join()


def read(address):
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def cells(document, table):
    """The text of the cells of a table, row by row."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', document, re.DOTALL)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]


def figures(document):
    pairs = re.findall(r"<div><b>(.*?)</b><span>(.*?)</span></div>", document)
    return {html.unescape(what): html.unescape(figure) for figure, what in pairs}


def alarm(document):
    return re.search(r'id="alarm">(.*?)</p>', document)[1]


def test_a_state_of_everything():
    run = overview()
    for each in (ROLES, step(1), update(0, 3), step(2), StandbyPromoted(1, "left", 2)):
        run.take(each, 100.0)
    run.take(CheckpointWritten(10, "step-10"), 101.0)
    run.take(Noted("written"), 101.0)
    run.take(MessagesRefused("late", 2, "left"), 102.0)
    run.take(MessagesRefused("early", 1), 102.0)
    state = run.state(103.0)
    assert json.loads(json.dumps(state)) == state
    assert (state["run"], state["network"], state["steps"]) == ("0123abcd", "small", 40)
    assert (state["promotions"], state["checkpoint"]) == (1, {"step": 10, "ago": 2.0})
    assert [row["process"] for row in state["refused"]] == ["left", "scheduler"]
    assert state["messages"] == [{"ago": 2.0, "text": "written"}]
    assert [replica["staleness"] for replica in state["replicas"]] == [3.0, None]
    assert [shard["standby"] for shard in state["shards"]] == ["right", "left", None]


def test_steps_are_put_together_of_tiles():
    run = overview()
    part = tile(terms={"V1.learn.sparsity": 2.0}, generation=1, seconds=0.5, waited=0.1, bytes=8)
    run.take(part, 100.0)
    run.take(part, 100.5)
    assert run.state(101.0)["step"] == 1
    run.take(replace(part, number=1), 101.0)
    assert run.state(101.0)["step"] == 2
    run.take(replace(part, slot=1, number=300), 101.0)  # a replica that is far ahead
    run.take(replace(part, number=1), 101.0)
    assert run.state(101.0)["step"] == 3
    run.take(event(RolledBack, message="again"), 102.0)
    assert run.state(102.0)["step"] == 0


def test_what_is_not_there_is_not_found():
    run = overview("/runs/<b>")
    with served(lambda: {"0123abcd": run}) as address:
        listed = read(f"{address}/lnet")
        assert '<a href="/lnet/0123abcd">0123abcd</a>' in listed
        assert "/runs/&lt;b&gt;" in listed
        assert "</script><b>" not in read(f"{address}/lnet/0123abcd")
        for path in ("/lnet/ffffffff", "/lnet/ffffffff.json", "/lnet/0123abcd/more"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                read(address + path)
    with served(dict) as address:
        assert "There are none now." in read(f"{address}/lnet/")


@needs_browser
@pytest.mark.slow
def test_a_page_goes_on_by_itself_until_the_run_is_over():
    run, asked = overview(), []
    for each in (ROLES, Noted("<b>left</b> joins"), update(0, 3)):
        run.take(each, 100.0)

    def runs():
        asked.append(len(asked))
        run.take(step(len(asked), replica=0), 100.0 + len(asked))
        run.steps.done = len(asked)
        return {"0123abcd": run} if len(asked) < 4 else {}

    with served(runs) as address:
        document = open_address(f"{address}/lnet/0123abcd")
    assert len(asked) == 4
    assert alarm(document) == "The run is over: this is how it stood last."
    assert figures(document)["steps of all replicas"] == "3 / 40"
    assert figures(document)["V1.learn"] == "8.000"
    first, second = cells(document, "replicas")
    assert first[:4] == ["0", "computing", "0: left  1: right", "3"]
    assert first[5:7] == ["3.0", "3"]
    assert second[1:3] == ["lapsed", "0: -  1: -"]
    assert cells(document, "shards")[2] == ["2", "-", "-", "none", "4", "0"]
    assert cells(document, "messages")[0][1] == "<b>left</b> joins"


@needs_browser
@pytest.mark.slow
def test_a_page_says_when_the_scheduler_does_not_answer():
    run, asked = overview(), []

    def runs():
        asked.append(len(asked))
        if len(asked) > 1:
            raise RuntimeError
        return {"0123abcd": run}

    with served(runs) as address:
        document = open_address(f"{address}/lnet/0123abcd")
    assert alarm(document) == "The scheduler does not answer: this is how the run stood last."
    assert len(asked) > 2


@needs_browser
@pytest.mark.slow
def test_the_page_of_a_run_under_way(tmp_path):
    seen = {}

    def look():
        (address,) = [m.removeprefix("to watch it: ") for m in watching.messages if "to watch it" in m]
        seen["state"] = json.loads(read(f"{address}.json"))
        seen["list"] = read(address.rpartition("/")[0])
        seen["page"] = open_address(address)

    watching = Watching({30: look})
    with cluster(2) as client:
        run = lnet.train(
            plan_of(steps=40), images(), directory=tmp_path / "run", client=client, reporter=watching
        )
    state = seen["state"]
    assert state["directory"] == str(run.directory)
    assert 30 <= state["step"] <= 40
    assert state["replicas"][0]["workers"] == ["worker-0", "worker-1"]
    assert f'/lnet/{state["run"]}"' in seen["list"]
    page = seen["page"]
    assert cells(page, "replicas")[0][2] == "0: worker-0  1: worker-1"
    assert {row[3] for row in cells(page, "shards")} <= {"ready", "being filled"}
    assert any("is computed by worker-0, worker-1" in row[1] for row in cells(page, "messages"))
