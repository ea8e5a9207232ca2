"""The files that browsers load: collected when the server starts, never the reason why a page fails."""

import gzip
import re
from pathlib import Path

import pytest
import requests
from django.test import Client

from setactions.operations.tests.test_serve import serving
from tmsdash.db.locks import alone
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import KEYS, at_once, run_python
from tmsdash.web.static_files import collect

pytestmark = pytest.mark.pages

FOREVER = "max-age=315360000, public, immutable"


@pytest.fixture
def root(settings, tmp_path):
    """A STATIC_ROOT of the test's own."""
    settings.STATIC_ROOT = tmp_path / "static"
    return settings.STATIC_ROOT


def files_of(page):
    """The addresses of the static files that a page names."""
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


def content_of(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def modified(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.mark.parametrize("path", ["/jobs/", "/admin/"])
def test_collected_files_have_hashed_names_are_compressed_and_kept_forever(adam, root, path):
    collect()
    client = signed_in(adam)
    files = files_of(client.get(path).content.decode())
    assert files
    for file in files:
        assert re.search(r"\.[0-9a-f]{12}\.(css|js|svg)$", file)
        answer = client.get(file, headers={"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer["Cache-Control"]) == (200, FOREVER)
        assert answer["Content-Encoding"] == "gzip"
        assert len(gzip.decompress(content_of(answer))) > 100
        answer.close()


@pytest.mark.parametrize("manifest", [None, b"", b"{}", b'{"version": "9"}'], ids=["none", "empty", "other", "newer"])
def test_without_a_manifest_every_page_still_has_its_files(adam, root, manifest):
    root.mkdir()
    if manifest is not None:
        (root / "staticfiles.json").write_bytes(manifest)
    client = signed_in(adam)
    for path in ("/", "/jobs/", "/admin/", "/admin/jobs/job/"):
        page = client.get(path)
        assert page.status_code == 200
        files = files_of(page.content.decode())
        assert files
        for file in files:
            answer = client.get(file)
            assert answer.status_code == 200
            answer.close()


def test_what_did_not_change_is_not_collected_again(root):
    collect()
    before = modified(root)
    collect()
    assert modified(root) == before


def test_a_changed_file_gets_a_new_name_and_the_old_one_stays_for_pages_that_name_it(root, settings, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    settings.STATICFILES_DIRS = [own]
    names = []
    for text in ("one", "three"):
        (own / "x.css").write_text(f"/* {text} */")
        collect()
        [name] = {path.name for path in root.glob("x.*.css")} - set(names)
        names.append(name)
    assert (root / names[0]).read_text() == "/* one */"


def test_what_a_killed_server_left_is_cleared_away(root):
    leftover = root.with_name("static.new") / "leftover.css"
    leftover.parent.mkdir()
    leftover.write_text("half a fi")
    collect()
    assert not leftover.exists()
    assert not (root / "leftover.css").exists()
    assert (root / "staticfiles.json").exists()


def test_servers_that_start_at_once_take_turns(root):
    def start(_):
        code = "import django; django.setup(); from tmsdash.web.static_files import collect; collect()"
        return run_python("-c", code, var_dir=root.parent, DJANGO_SETTINGS_MODULE="tmsdash.settings", **KEYS)

    for ended in at_once(4, start):
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert not root.with_name("static.new").exists()
    assert (root / "collected").exists()


def test_a_folder_that_cannot_be_written_stops_nothing(root, caplog):
    root.write_text("a file in its place")
    collect()
    assert "[STATIC] The pages' files could not be collected" in caplog.text


def test_a_server_that_collected_nothing_serves_every_file_under_its_plain_name(tmp_path):
    code = """
from wsgiref.util import setup_testing_defaults
from tmsdash.wsgi import application
def get(path):
    environ = {"PATH_INFO": path, "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    return b"".join(application(environ, lambda status, headers: print(status))).decode()
import re
for file in re.findall('/static/[^"]+', get("/login/")):
    print(file, len(get(file)))
"""
    ended = run_python("-c", code, var_dir=tmp_path, **KEYS)
    assert re.search(r"/static/tmsdash\.css \d{4}", ended.stdout)
    assert set(re.findall("^\\d.*", ended.stdout, re.MULTILINE)) == {"200 OK"}
    assert "load slowly until they are collected: manage.py collectstatic" in ended.stderr


@pytest.mark.sqlite
@pytest.mark.linux
def test_the_production_server_serves_them_from_its_first_answer_on(tmp_path):
    with serving(tmp_path) as (process, _):
        port = re.search(rb"--port\0(\d+)", Path(f"/proc/{process.pid}/cmdline").read_bytes())[1].decode()
        site = f"http://127.0.0.1:{port}"
        page = requests.get(f"{site}/login/", timeout=60)
        files = files_of(page.text)
        assert files
        for file in files:
            answer = requests.get(site + file, timeout=60)
            assert answer.ok
            assert answer.headers["Cache-Control"] == FOREVER
            assert answer.headers["Content-Encoding"] == "gzip"


def test_a_server_that_froze_while_it_collected_keeps_no_other_from_starting(root, monkeypatch, caplog):
    monkeypatch.setattr("tmsdash.web.static_files.WAIT_S", 0.2)
    with alone("static", lambda: None):
        collect()
    assert "another process has held it" in caplog.text
    assert not (root / "collected").exists()


@pytest.mark.parametrize("path", ["/static/", "/static/admin/", "/static/admin/css/", "/static/../", "/var/", "/docs/"])
def test_no_folder_shows_what_is_in_it(databases, client, path):
    assert client.get(path).status_code == 404


def test_the_sign_at_its_usual_address_is_there_for_everybody_to_keep():
    answer = Client().get("/favicon.ico")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/vnd.microsoft.icon")
    assert answer.content.startswith(b"\0\0\1\0")
    assert (answer["Cache-Control"], answer.cookies) == ("public, max-age=604800", {})
