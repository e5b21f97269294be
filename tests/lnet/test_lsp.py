"""A conversation with `lnetc lsp` over its real protocol, in a process of its own."""

import json
import subprocess
import sys
from itertools import count

import pytest
from commands import lnetc

STAGES = """stage sense(maps, field) {
    filter: local(field, maps)
    norm:   lcn(3)
}
"""
MODEL = """include "stages.lnet"

let wide = 5

# A clef takes two units of UTF-16: \U0001d11e
network small {
    image: input(16x16x1)
    V1:    sense(4, wide)
    learn: l2(weight = 0.1)  # \U0001d11e
}
"""


class Client:
    """An editor that has a folder open: requests, notifications, and what the server tells unasked."""

    def __init__(self, folder):
        self.folder = folder
        self.numbers = count(1)
        self.told = {}
        self.versions = {}
        self.server = subprocess.Popen(
            [sys.executable, "-m", "lnet", "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder
        )

    def uri(self, name):
        return (self.folder / name).as_uri()

    def send(self, **message):
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(content), content))
        self.server.stdin.flush()

    def receive(self):
        length = 0
        while line := self.server.stdout.readline().strip():
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"Content-Length" else length
        message = json.loads(self.server.stdout.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.told[params["uri"], params.get("version")] = params["diagnostics"]
        return message

    def notify(self, method, **params):
        self.send(method=method, params=params)

    def answer(self, method, **params):
        """Return the whole answer to a request."""
        number = next(self.numbers)
        self.send(id=number, method=method, params=params)
        while (message := self.receive()).get("id") != number:
            pass
        return message

    def ask(self, method, name, place=None, **params):
        """Return the result of a question about a file, at a place `(line, character)` in it."""
        if place is not None:
            params["position"] = {"line": place[0], "character": place[1]}
        answer = self.answer(f"textDocument/{method}", textDocument={"uri": self.uri(name)}, **params)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, name, text):
        self.versions[name] = 1
        document = {"uri": self.uri(name), "languageId": "lnet", "version": 1, "text": text}
        self.notify("textDocument/didOpen", textDocument=document)

    def write(self, name, text):
        self.versions[name] += 1
        document = {"uri": self.uri(name), "version": self.versions[name]}
        self.notify("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])

    def diagnostics(self, name):
        """Return the diagnostics of a file as it was written last."""
        while (self.uri(name), self.versions[name]) not in self.told:
            self.receive()
        return self.told[self.uri(name), self.versions[name]]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """An editor with two files open, of which the included one is not as it is on the disk."""
    folder = tmp_path_factory.mktemp("a folder")
    (folder / "stages.lnet").write_text("stage other() { a: lcn(3) }\n")
    (folder / "model.lnet").write_text(MODEL)
    client = Client(folder)
    answer = client.answer("initialize", processId=None, rootUri=folder.as_uri(), capabilities={})
    assert answer["result"]["serverInfo"]["name"] == "lnetc"
    client.notify("initialized")
    client.open("stages.lnet", STAGES)
    client.open("model.lnet", MODEL)
    assert client.diagnostics("model.lnet") == []
    yield client
    assert client.answer("shutdown")["result"] is None
    client.notify("exit")
    assert client.server.wait(60) == 0


@pytest.fixture
def rewritten(client):
    """Writes the model anew for a test, and back after it."""

    def write(text):
        client.write("model.lnet", text)
        return client.diagnostics("model.lnet")

    yield write
    client.write("stages.lnet", STAGES)
    client.write("model.lnet", MODEL)


def around(line, start, end):
    return {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}


def test_mistakes_are_told_as_one_types_and_where_an_editor_counts(rewritten):
    found = rewritten(MODEL.replace("l2(weight = 0.1)", 'l2(of = "\U0001d11e", wait = 1)'))
    told = {(each["code"], each["severity"]): each for each in found}
    assert set(told) == {("E301", 1), ("E305", 1)}
    assert told["E301", 1]["range"] == around(8, 25, 29), "the clef counts twice"
    assert "hint: did you mean 'weight'?" in told["E301", 1]["message"]


def test_mistakes_that_a_file_has_where_it_is_included_are_told_of_that_file(client, rewritten):
    client.write("stages.lnet", STAGES.replace("local(field", "local(field + 20"))
    (found,) = client.diagnostics("stages.lnet")
    assert found["range"]["start"]["line"] == 1
    assert "a field of 25 rows does not fit" in found["message"]
    assert "in 'V1.filter', called in line 8" in found["message"]


def test_a_hover_shows_shape_field_parameters_and_the_reference(client):
    text = client.ask("hover", "stages.lnet", (1, 13))["contents"]["value"]
    assert "`V1.filter`: 12x12x4, field 5x5, sees 5x5 of `image`, 14,400 parameters" in text
    assert "- `stride`: a positive integer or a size such as 18x18 (default `1`)" in text


def test_completion_of_what_is_being_typed(client, rewritten):
    rewritten(MODEL.replace("learn: l2(weight = 0.1)", "next:  local(3, 4, act = re"))
    found = client.ask("completion", "model.lnet", (8, 31))
    assert {"relu", "leaky_relu", "wide"} <= {each["label"] for each in found}


def test_definitions_and_references_over_includes(client):
    (place,) = client.ask("definition", "model.lnet", (7, 12))
    assert place == {"uri": client.uri("stages.lnet"), "range": around(0, 6, 11)}
    places = client.ask("references", "stages.lnet", (0, 7), context={"includeDeclaration": True})
    found = {(place["uri"], place["range"]["start"]["line"]) for place in places}
    assert found == {(client.uri("stages.lnet"), 0), (client.uri("model.lnet"), 7)}


def test_renaming(client):
    assert client.ask("prepareRename", "model.lnet", (7, 12))["placeholder"] == "sense"
    changes = client.ask("rename", "model.lnet", (7, 12), newName="area")["changes"]
    assert changes == {
        client.uri("stages.lnet"): [{"range": around(0, 6, 11), "newText": "area"}],
        client.uri("model.lnet"): [{"range": around(7, 11, 16), "newText": "area"}],
    }
    where = {"textDocument": {"uri": client.uri("model.lnet")}, "position": {"line": 7, "character": 12}}
    refused = client.answer("textDocument/rename", **where, newName="local")
    assert "is a kind of the language" in refused["error"]["message"]


def test_formatting_changes_the_lines_that_need_it(client, rewritten):
    options = {"tabSize": 4, "insertSpaces": True}
    assert client.ask("formatting", "model.lnet", options=options) == []
    rewritten(MODEL.replace("let wide = 5", "let  wide=5"))
    (edit,) = client.ask("formatting", "model.lnet", options=options)
    assert edit == {
        "range": {**around(2, 0, 0), "end": {"line": 3, "character": 0}},
        "newText": "let wide = 5\n",
    }
    rewritten(MODEL.replace("let wide = 5", "let wide ="))
    assert client.ask("formatting", "model.lnet", options=options) is None


def test_the_network_has_a_lens_with_its_totals(client):
    (lens,) = client.ask("codeLens", "model.lnet")
    assert lens["range"] == around(5, 8, 13)
    assert lens["command"]["title"].startswith("14,400 parameters, 57.6 kB; ")


def test_without_the_package_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygls", None)
    monkeypatch.delitem(sys.modules, "lnet.cli.language_server", raising=False)
    result = lnetc("lsp", status=1)
    assert "error E787: the language server needs 'pygls'" in result.output
    assert "pip install 'lnetc[lsp]'" in result.output
