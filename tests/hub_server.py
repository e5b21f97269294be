"""A hub on this machine: what of its API the client uses to make repositories, commit, list and download."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class Hub(ThreadingHTTPServer):
    """`commits` are those of each repository, by branch, the newest last: files by name; `uploads`: large files by digest.

    `requests`: what was asked for; `refuse`: a pattern of requests that are answered with 503.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.commits, self.private, self.uploads, self.requests, self.refuse = {}, {}, {}, [], None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, repository, branch="main"):
        return self.commits[repository, branch][-1]

    def put(self, repository, files, private=False, branch="main"):
        self.private[repository] = private
        self.commits.setdefault((repository, branch), []).append(files)

    def at(self, repository, revision):
        """The files of a branch or a commit, and the commit."""
        for (name, branch), commits in self.commits.items():
            for files in reversed(commits):
                oid = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
                if name == repository and revision in (branch, oid):
                    return files, oid
        return None, None


@contextmanager
def serving():
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield hub
    hub.shutdown()
    hub.server_close()


NAME = r"([\w-]+/[\w.-]+)"


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def _any(self):
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.command} {path}"
        self.server.requests.append(asked)
        if self.server.refuse and re.search(self.server.refuse, asked):
            self._say(403, {"error": "not today"})
            return
        for pattern, answer in ROUTES:
            if found := re.fullmatch(pattern, asked):
                getattr(self, answer)(body, *found.groups())
                return
        self._say(404, {"error": f"no route for {asked}"})

    do_GET = do_HEAD = do_POST = do_PUT = _any

    def _say(self, status, content, **headers):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _missing(self, what="RepoNotFound"):
        self._say(404, {"error": "not found"}, X_Error_Code=what)

    # --- repositories ------------------------------------------------------------------------------------------------

    def create(self, body):
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.endpoint}/{name}"
        if (name, "main") in self.server.commits:
            self._say(409, {"error": "it is there", "url": url})
            return
        self.server.put(name, {}, bool(asked.get("private") or asked.get("visibility") == "private"))
        self._say(200, {"url": url, "name": name})

    def branch(self, body, name, branch):
        if (name, branch) in self.server.commits:
            self._say(409, {"error": "it is there"})
            return
        self.server.put(name, dict(self.server.files(name)), self.server.private[name], branch)
        self._say(200, {})

    def info(self, body, name, revision="main"):
        files, oid = self.server.at(name, revision)
        if files is None:
            self._missing()
            return
        siblings = [{"rfilename": file} for file in files]
        self._say(
            200,
            {"id": name, "sha": oid, "private": self.server.private[name], "siblings": siblings, "tags": []},
        )

    def tree(self, body, name, revision):
        files, _ = self.server.at(name, revision)
        if files is None:
            self._missing()
            return
        self._say(
            200, [{"type": "file", "path": n, "size": len(c), "oid": _sha1(c)} for n, c in files.items()]
        )

    # --- commits -----------------------------------------------------------------------------------------------------

    def validate(self, body):
        self._say(200, {"errors": [], "warnings": []})

    def preupload(self, body, name, revision):
        files = json.loads(body)["files"]
        modes = {True: "lfs", False: "regular"}
        told = [
            {
                "path": f["path"],
                "uploadMode": modes[f["path"].endswith(".safetensors")],
                "shouldIgnore": False,
            }
            for f in files
        ]
        self._say(200, {"files": told})

    def batch(self, body, name):
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.endpoint}/large/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self._say(200, {"transfer": "basic", "objects": objects})

    def upload(self, body, oid):
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.uploads[oid] = body
        self._say(200, {})

    def commit(self, body, name, revision):
        files = dict(self.server.files(name, revision))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.uploads[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        self.server.put(name, files, self.server.private[name], revision)
        _, oid = self.server.at(name, revision)
        url = f"{self.server.endpoint}/{name}/commit/{oid}"
        self._say(200, {"commitUrl": url, "commitOid": oid, "success": True})

    # --- downloads ---------------------------------------------------------------------------------------------------

    def resolve(self, body, name, revision, file):
        files, oid = self.server.at(name, revision)
        if files is None or file not in files:
            self._missing("EntryNotFound")
            return
        content = files[file]
        self._say(200, content, ETag=f'"{_sha1(content)}"', X_Repo_Commit=oid)


def _sha1(content):
    return hashlib.sha1(content).hexdigest()


ROUTES = [
    (r"POST /api/repos/create", "create"),
    (rf"POST /api/models/{NAME}/branch/(\w+)", "branch"),
    (rf"GET /api/models/{NAME}", "info"),
    (rf"GET /api/models/{NAME}/revision/(\w+)", "info"),
    (rf"GET /api/models/{NAME}/tree/(\w+)", "tree"),
    (r"POST /api/validate-yaml", "validate"),
    (rf"POST /api/models/{NAME}/preupload/(\w+)", "preupload"),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", "batch"),
    (r"PUT /large/(\w+)", "upload"),
    (rf"POST /api/models/{NAME}/commit/(\w+)", "commit"),
    (rf"(?:GET|HEAD) /{NAME}/resolve/(\w+)/(.+)", "resolve"),
]
