"""`lnetc watch`: the page of runs that train meanwhile, and who may open it."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from html import unescape
from pathlib import Path

import pytest
from chromium import needs_browser, open_address
from commands import lnetc
from small_run import furnish, plan_of

import lnet
from lnet.cli.watch import page_beside, runs_in
from lnet.runtime.analysis.watch.filters import DrawnFilters
from lnet.runtime.analysis.watch.followed import LATER, FollowedRun
from lnet.runtime.analysis.watch.watcher import Watcher, page

SIZED = """
  const sized = width => {
    Object.assign(document.body.style, { width: width + 'px', overflowX: 'auto' })
    showCurves()
    return {
      shown: document.body.clientWidth, needed: document.body.scrollWidth,
      curves: [...document.querySelectorAll('.live svg')].map(svg => svg.getBoundingClientRect().width),
    }
  }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def run(folder):
    return lnet.train(plan_of(folder, steps=12, checkpoint=6), directory=folder / "runs" / "first").directory


def answer(port, host="127.0.0.1", path="/", method="GET"):
    """The status of an answer and how it begins."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers={"Host": host})
    found = connection.getresponse()
    said = found.status, found.read(40)
    connection.close()
    return said


def port_of(address):
    return int(re.search(r":(\d+)/", address)[1])


def message(port, kind):
    """The first message of a kind, by a reader that comes now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/events")
    for line in connection.getresponse():
        for found in json.loads(line[6:]) if line.startswith(b"data: ") else ():
            if found["kind"] == kind:
                connection.close()
                return found
    raise AssertionError(f"no {kind}")


@needs_browser
def test_the_page_of_runs_in_a_browser_while_one_trains(folder, run):
    """One tab from before a run begins until it is done: what it showed on the way, and its width on a phone and a desk."""
    later = folder / "runs" / "later"
    script = (
        SIZED
        + """
      const seen = { steps: [], filters: [], said: document.querySelector('#alarm').textContent }
      source.addEventListener('message', () => {
        const card = document.querySelector('#runs [data-run="1"]'), step = drawn.get(1)?.step
        seen.before ??= card.textContent
        if (runs.get(1).state) seen.steps.push(card.querySelector('.tiles div:nth-child(2) b').textContent)
        if (step && step !== seen.filters.at(-1)) seen.filters.push(step)
        leave()
      })
      function leave() {
        if (runs.get(1)?.state !== 'done' || drawn.get(1)?.step !== 2000 || !drawn.get(0)) return
        source.close()
        document.documentElement.style.overflow = 'hidden'
        seen.phone = sized(400)
        seen.desk = sized(1120)
        seen.headings = [...document.querySelectorAll('h2')].map(h => h.textContent)
        seen.cards = [...document.querySelectorAll('#runs [data-run]')].map(card => card.textContent)
        seen.paths = [...document.querySelectorAll('.live svg')].map(svg => svg.querySelectorAll('path').length)
        seen.inked = [...document.querySelectorAll('.live path')].every(path => !path.getAttribute('d').includes('NaN'))
        const images = [...document.images]
        Promise.all(images.map(image => image.decode())).then(() => {
          seen.images = images.map(image => image.naturalWidth)
          document.body.dataset.seen = JSON.stringify(seen)
        })
      }
    """
    )
    found = []
    with Watcher(
        lambda: [run, later], 0, page().replace("</body>", f"<script>{script}</script></body>")
    ) as watcher:
        tab = threading.Thread(target=lambda: found.append(open_address(watcher.address, 1200)))
        tab.start()
        while not watcher._board._readers:
            time.sleep(0.02)
        settings = {"steps": 2000, "checkpoint": 400, "validation": 'frames("images")', "validate_every": 200}
        lnet.train(plan_of(folder, **settings), directory=later)
        tab.join()
    seen = json.loads(unescape(re.search(r'data-seen="([^"]*)"', found[0])[1]))
    assert "has not begun" in seen["before"]
    steps = [int(text.split(" / ")[0].replace(",", "")) for text in seen["steps"]]
    assert steps == sorted(steps)
    assert len(set(steps)) >= 3, "the values advance"
    assert steps[-1] == 2000
    assert seen["filters"] == sorted(set(seen["filters"]))
    assert "done" in seen["cards"][0]
    assert "12 / 12" in seen["cards"][0]
    assert "validation loss, step 2,000" in seen["cards"][1]
    assert seen["headings"] == ["Losses", "Throughput", "First-layer filters", "What happened"]
    assert seen["paths"] == [3, 3, 3, 2]
    assert seen["inked"]
    assert len(seen["images"]) == 2 * 3
    assert min(seen["images"]) > 100
    for width, sight in ((400, seen["phone"]), (1120, seen["desk"])):
        assert sight["shown"] == sight["needed"] == width
    assert all(300 < width <= 352 for width in seen["phone"]["curves"])
    assert all(500 < width <= 540 for width in seen["desk"]["curves"])


def test_runs_that_begin_in_a_folder_join_the_page(run, tmp_path, monkeypatch):
    """The folder itself, which stood for them while it was empty, leaves it; a run that is removed stays as it was."""
    monkeypatch.setattr("lnet.runtime.analysis.watch.watcher.SOUGHT", 0.0)
    runs, aside = tmp_path / "runs", tmp_path / "aside"
    runs.mkdir()
    with Watcher(lambda: runs_in([runs])) as watcher:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(watcher.address), timeout=30)
        connection.request("GET", "/events")
        lines = (line for line in connection.getresponse() if line.startswith(b"data: "))
        news = (each for line in lines for each in json.loads(line[6:]))
        assert next(news)["problem"] == LATER
        seen = []
        for number, name in enumerate("ba", 1):
            shutil.copytree(run, aside)
            aside.rename(runs / name)
            while not seen or seen[-1] != ("run", number):
                seen.append(next((each["kind"], each["run"]) for each in news))
        assert seen[0] == ("gone", 0)
        shutil.rmtree(runs / "b")
        shutil.copytree(run, aside)
        aside.rename(runs / "c")
        while seen[-1] != ("run", 3):
            seen.append(next((each["kind"], each["run"]) for each in news))
        assert [number for kind, number in seen if kind == "gone"] == [0]
        connection.close()


def test_only_this_machine_opens_the_page(run):
    with Watcher(lambda: [run]) as watcher:
        port = port_of(watcher.address)
        for host in (f"127.0.0.1:{port}", "localhost:8000", "[::1]:80", "LOCALHOST"):
            assert answer(port, host) == (200, page()[:40].encode())
        for host in (
            "rebound.example",
            "127.0.0.1.rebound.example",
            "localhost@rebound.example",
            "",
            "[",
            "10.0.0.1",
        ):
            assert answer(port, host)[0] == answer(port, host, "/events")[0] == 403
        for path in ("/../run.json", f"/{run}/run.json", "/events/.."):
            assert answer(port, path=path)[0] == 404
        assert answer(port, method="POST")[0] == 501
        assert watcher._server.server_address[0] == "127.0.0.1"


def test_a_run_is_read_without_jax_until_there_is_a_checkpoint(run):
    program = f"""
import sys
from pathlib import Path
from lnet.runtime.analysis.watch.watcher import DrawnFilters, FollowedRun
followed, drawn = FollowedRun(Path({str(run)!r})), DrawnFilters(Path({str(run / "none")!r}))
assert followed.poll() and drawn.redrawn() is None
print(followed.data([])["step"], 'jax' in sys.modules, 'matplotlib' in sys.modules, 'scipy' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "12 False False False\n"


def test_what_becomes_of_a_run_on_the_disk(run, tmp_path):
    path = tmp_path / "run"
    followed, filters = FollowedRun(path), DrawnFilters(path)

    def told():
        assert followed.poll()
        assert json.loads(json.dumps(followed.data([]), allow_nan=False))
        return followed.data([])

    assert "not begun" in told()["problem"]
    assert not followed.poll()
    shutil.copytree(run, path)
    assert (told()["problem"], followed.data([])["state"]) == ("", "done")
    assert filters.redrawn()["step"] == 12
    assert filters.redrawn() is None
    os.truncate(path / "events.jsonl", 0)
    assert told()["state"] == "killed"
    (path / "run.json").write_text("{")
    (path / "events.jsonl").unlink()
    assert "'run.json' is damaged" in told()["problem"]
    for shard in path.glob("checkpoints/*12-*/shard-*"):
        shard.write_bytes(b"")
    (path / "checkpoints" / "step-00000099-9.shards").mkdir()
    assert "damaged" in filters.redrawn()["missing"]
    shutil.rmtree(path)
    assert "not begun" in told()["problem"]


def test_the_command_ends_with_ctrl_c(run, tmp_path):
    command = [sys.executable, "-m", "lnet", "watch", str(run.parent), str(tmp_path / "later")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = process.stdout.readline()
    assert message(port_of(address), "run")["path"] == str(run)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err == f"'{tmp_path / 'later'}' is not there yet: the page shows it when it begins\n"


def test_a_page_beside_a_run_shows_how_it_ended(run, tmp_path, capsys):
    path = tmp_path / "run"
    with page_beside(path, 0):
        port = port_of(capsys.readouterr().out)
        assert "not begun" in message(port, "run")["problem"]
        told = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/events")
        response = connection.getresponse()  # a reader from here on, for whom the page waits
        reader = threading.Thread(target=lambda: told.extend(response.read().splitlines()))
        reader.start()
        shutil.copytree(run, path, ignore=shutil.ignore_patterns("checkpoints"))
    reader.join()
    last = [json.loads(line[6:]) for line in told if line.startswith(b"data: ")][-1]
    assert [each["state"] for each in last] == ["done"]
    with pytest.raises(OSError):
        answer(port)


def test_what_cannot_be_watched(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "there are no runs in" in lnetc("watch", folder / "images", status=1).output
    assert "E740" in lnetc("watch", folder / "small.lnet", status=1).output
    with Watcher(lambda: [run]) as watcher:
        port = port_of(watcher.address)
        said = lnetc("watch", run, "--port", port, status=2).output
    assert f"nothing can be served at port {port}: Address already in use" in said
    assert "trains nothing" in lnetc("run", folder / "small.lnet", "--watch", "--dry-run", status=2).output
    assert "'--port' needs '--watch'" in lnetc("resume", run, "--port", 80, status=2).output
    assert not Path("runs").exists()
