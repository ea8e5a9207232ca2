"""The script that empties pages, in a real browser, before a server that knows the session or does not."""

import html
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.chromium

SCRIPT = (Path(__file__).parents[2] / "static" / "session.js").read_bytes()
PAGE = b"""<!DOCTYPE html><title>New action</title>
<script src="/session.js" data-sign-in="/login/" data-idle-s="900" defer></script>
<script src="/typing.js" defer></script>
<body><header>olivia</header><main>customer-of-olivia <input name="token" type="password" value="s3cret">
<textarea name="cids"></textarea><textarea name="other"></textarea></main></body>"""
# The document shows what fields held when they were loaded, so what they hold now is written into it.
TYPING = b"""document.querySelector('textarea').value = 'typed-1\\ntyped-2\\neyJhbGciOi.eyJzdWIi.c2ln';
setInterval(() => document.querySelectorAll('[readonly]').forEach((field) => field.textContent = field.value), 10);"""
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'"


@contextmanager
def site(session):
    """A site whose page to sign in says that the session `lasts`, is "over", or drops the connection ("gone")."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/login/":
                asked.append((self.headers["HX-Request"], self.command))
                if session == "gone":
                    self.close_connection = True
                    return
            status = 302 if (self.path, session) == ("/login/", "lasts") else 200
            content = {"/session.js": SCRIPT, "/typing.js": TYPING}.get(self.path, PAGE)
            self.send_response(status)
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header(
                "Content-Type", f"text/{'javascript' if self.path.endswith('.js') else 'html'}; charset=utf-8"
            )
            self.send_header("Location", "/elsewhere/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def seen_after(folder, seconds, session):
    """Return the page as it is after that many seconds, and what was asked for on the way."""
    with site(session) as (address, asked):
        command = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu"]
        command += ["--no-first-run", "--disable-background-networking", f"--user-data-dir={folder / 'profile'}"]
        command += [f"--virtual-time-budget={seconds * 1000}", "--dump-dom", f"{address}/jobs/?x=1"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return ended.stdout, asked


@pytest.mark.parametrize("session", ["over", "gone"])
def test_a_page_is_emptied_when_its_session_is_over_and_what_was_typed_stays(tmp_path, session):
    page, asked = seen_after(tmp_path, 930, session)
    assert [*dict.fromkeys(asked)] == [("true", "GET")]
    assert "Your session has ended" in page
    assert "<title>Signed out · TMS Dashboard</title>" in page
    assert "/login/?next=%2Fjobs%2F%3Fx%3D1" in page
    for gone in ("customer-of-olivia", "<header>", "s3cret", "eyJ"):
        assert gone not in page
    kept = re.findall("<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert [html.unescape(text) for text in kept] == ["typed-1\ntyped-2\n[token removed]"]


@pytest.mark.parametrize(("seconds", "session", "is_asked"), [(890, "over", False), (930, "lasts", True)])
def test_a_page_stays_while_its_session_lasts(tmp_path, seconds, session, is_asked):
    page, asked = seen_after(tmp_path, seconds, session)
    assert "customer-of-olivia" in page
    assert bool(asked) is is_asked
