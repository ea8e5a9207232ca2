"""What each page weighs at first view and how many queries it takes, over all addresses, with full lists."""

import gzip
import re
from functools import cache
from urllib.parse import urljoin

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command

from setactions.devtools.site_walk.visitors import visitors
from tmsdash import banners
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries
from tmsdash.web.static_files import collect

pytestmark = pytest.mark.pages

MOST_BYTES = 100_000
MOST_QUERIES = 12
TEMPLATES = settings.BASE_DIR / "templates"
INCLUDED = re.compile(r'{% include "([^"]+)"')
GZIP = {"Accept-Encoding": "gzip"}
LOADED = re.compile(r'<(?:link rel="(?:icon|stylesheet)"|script|img)[^>]* ?(?:href|src)="(/[^"]+)"')
PART_OF_STYLE = re.compile(r"""url\(["']?(?!data:)([^)"']+)["']?\)|@import ["']([^"']+)["']""")


def body_of(answer):
    """The bytes that cross the network, and the text in them."""
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    is_compressed = answer.get("Content-Encoding") == "gzip"
    return content, (gzip.decompress(content) if is_compressed else content).decode("utf-8", "replace")


def files_of(client):
    """Tells what a file weighs, and all that it loads in turn, by address."""

    @cache
    def weights(address):
        answer = client.get(address, headers=GZIP)
        assert answer.status_code == 200, address
        content, text = body_of(answer)
        loaded = {address: len(content)}
        for match in PART_OF_STYLE.finditer(text) if ".css" in address else ():
            loaded |= weights(urljoin(address, match[1] or match[2]))
        return loaded

    return weights


def test_no_page_weighs_more_than_100_kb_or_takes_more_than_a_dozen_queries(databases, settings, tmp_path):
    settings.STATIC_ROOT = tmp_path / "static"
    collect()
    call_command("fill_demo_data", jobs=300)
    too_heavy, too_curious, seen = {}, {}, set()
    for visitor in visitors():
        client = signed_in(visitor.user)
        weights = files_of(client)
        for address in visitor.start():
            answer = client.get(address.url, headers=GZIP)
            if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
                body_of(answer)
                continue
            content, text = body_of(answer)
            seen.add(address.path)
            files = {name: size for file in LOADED.findall(text) for name, size in weights(file).items()}
            name = f"{visitor.role} {address.url}"
            assert any(file.endswith(".css") for file in files) is ("<html" in text), name
            if len(content) + sum(files.values()) > MOST_BYTES:
                too_heavy[name] = files | {"the page": len(content)}
            banners.forget()  # as where the process has shown no page yet
            with counted_queries() as queries:
                client.get(address.url, headers=GZIP)
            if len(queries) > MOST_QUERIES:
                too_curious[name] = [query["sql"][:150] for query in queries]
    assert {"/", "/jobs/", "/batches/", "/activity/", "/admin/", "/admin/jobs/job/", "/admin/audit/attempt/"} <= seen
    assert too_heavy == {}
    assert too_curious == {}


def test_the_first_visit_takes_no_more_than_a_dozen_queries_either(databases):
    """Neither the process nor the session has seen any of these pages: banners are read, and filters are kept."""
    call_command("fill_demo_data", jobs=60)
    client = signed_in(User.objects.create(username="ada", is_staff=True, is_superuser=True))
    client.get("/help/")  # signing in is no part of it
    for url in ("/activity/?whose=all", "/activity/?whose=all&outcome=accepted", "/admin/jobs/job/?time=all"):
        banners.forget()
        with counted_queries() as queries:
            assert client.get(url).status_code == 200
        assert len(queries) <= MOST_QUERIES, [query["sql"][:150] for query in queries]


def test_the_script_of_token_fields_is_loaded_by_the_pages_that_may_have_one_and_no_other():
    texts = {str(path.relative_to(TEMPLATES)): path.read_text() for path in TEMPLATES.rglob("*.html")}

    def drawn_by(name):
        return {name}.union(*map(drawn_by, INCLUDED.findall(texts[name])))

    pages = [name for name, text in texts.items() if "{% extends" in text]
    may_have_one = {name for name in pages if "partials/_token_field.html" in drawn_by(name)}
    assert {"setactions/new_action.html", "batches/batch.html"} < may_have_one < {*pages}
    assert {name for name, text in texts.items() if "'token_field.js'" in text} == may_have_one
