"""The pages of a folder in a browser, in a frame of a page that drives them by scripts that tests send it."""

import json
import queue
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from chromium import BROWSER, FLAGS

DRIVER = """<!doctype html><iframe></iframe><script type="module">
const frame = document.querySelector("iframe")
// Wait until something is the case, and return it.
const until = async is => {
  for (;;) {
    const found = await is()
    if (found) return found
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
const open = address => new Promise(resolve => {
  frame.onload = () => resolve(frame.contentDocument)
  frame.src = address
})
// The width that the page needs in a window so wide.
const needed = width => {
  Object.assign(frame.style, { border: 0, width: width + "px", height: "900px" })
  return frame.contentDocument.documentElement.scrollWidth
}
const AsyncFunction = (async () => {}).constructor
for (;;) {
  const script = await (await fetch("/script")).text()
  const seen = new AsyncFunction("frame", "until", "open", "needed", script)(frame, until, open, needed)
  const said = await seen.then(seen => ({ seen }), error => ({ failed: String(error) }))
  await fetch("/said", { method: "POST", body: JSON.stringify(said) })
}
</script>"""


@contextmanager
def opened(folder):
    """Serve a folder, and give a function that runs a script beside a page of it and returns what the script returns.

    Paths in its set `missing` are not served.
    """
    scripts, said, missing = queue.Queue(), queue.Queue(), set()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/driver":
                self.answer(DRIVER)
            elif self.path == "/script":
                self.answer(scripts.get())
            elif self.path in missing:
                self.send_error(404)
            else:
                super().do_GET()

        def end_headers(self):
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

        def do_POST(self):
            said.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer("")

        def answer(self, text):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    def run(script):
        scripts.put(script)
        found = said.get(timeout=120)
        assert "failed" not in found, found["failed"]
        return found.get("seen")

    run.missing = missing
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="lnet-chromium-", ignore_cleanup_errors=True) as profile:
        flags = [each for each in FLAGS if not each.startswith("--virtual-time")]
        own = [f"--user-data-dir={profile}", "--window-size=1300,1000", "--remote-debugging-port=0"]
        address = f"http://127.0.0.1:{server.server_port}/driver"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([BROWSER, *flags, *own, address], **quiet) as browser:
            try:
                yield run
            finally:
                browser.terminate()
                scripts.put("")  # for the thread that waits for one
                server.shutdown()
                server.server_close()
