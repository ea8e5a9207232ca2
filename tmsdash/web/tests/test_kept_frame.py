"""The kept heads and feet of pages: everybody has their own, with what is another one for each page."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tmsdash.tests.fixtures import signed_in
from tmsdash.web.frame import _drawn

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w{64})"')


def page(client: Client, path: str = "/jobs/") -> str:
    return client.get(path).content.decode()


def test_a_second_page_takes_its_frame_from_the_first_but_not_the_tokens(olivia):
    client = signed_in(olivia)
    first = page(client)
    kept = _drawn.cache_info()
    second = page(client)
    assert (_drawn.cache_info().hits - kept.hits, _drawn.cache_info().misses - kept.misses) == (2, 0)
    assert (
        TOKEN.sub("", first).split("<main")[0].split("<header")[1]
        == TOKEN.sub("", second).split("<main")[0].split("<header")[1]
    )
    assert len(TOKEN.findall(first)) == len(TOKEN.findall(second)) == 2
    assert not set(TOKEN.findall(first)) & set(TOKEN.findall(second))  # masked anew, see tmsdash/web/compression.py


def test_what_is_taken_from_somebody_is_gone_from_their_next_page(adam):
    client = signed_in(adam)
    assert 'href="/admin/"' in page(client)
    User.objects.filter(pk=adam.pk).update(is_staff=False, is_superuser=False)
    shown = page(client)
    assert 'href="/admin/"' not in shown
    assert ">New action</a>" not in shown


def test_a_name_that_looks_like_a_mark_is_no_mark(databases):
    shown = page(signed_in(User.objects.create(username="<!--csrf--><!--printed-->")))
    assert 'title="&lt;!--csrf--&gt;&lt;!--printed--&gt;"' in shown
    assert "<!--" not in shown


def test_each_address_marks_itself_and_no_other(adam):
    client = signed_in(adam)
    for path in ("/jobs/", "/batches/", "/admin/", "/jobs/"):
        [marked] = re.findall(r'<a href="([^"]+)" aria-current="page">', page(client, path).split("<main")[0])
        assert marked == path
    assert "aria-current" not in page(client, "/nonsense/")
