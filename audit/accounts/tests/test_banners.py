"""Banners: administrators set them, everybody sees them, the audit keeps each change, and no page asks for them."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash import banners
from tmsdash.models import Banner
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.pages
ADD = "/admin/tmsdash/banner/add/"
NONE = {"begins_at": "", "ends_at": ""}
FREEZE = {"kind": "freeze", "text": "No actions until the release is out."} | NONE
SHOWN = "Freeze: No actions until the release is out."


def made(**fields):
    """A banner that every page shows from now on, unless `fields` say otherwise."""
    banner = Banner.objects.create(**{"text": "Back at ten.", "changed_at": timezone.now()} | fields)
    banners.forget()
    return banner


def regions(answer):
    """How many regions for banners there are on a page."""
    return answer.content.decode().count('<section class="banners" aria-label="Announcements">')


def test_a_banner_of_the_admin_is_on_every_page_at_once_and_goes_with_its_row(adam, olivia):
    client = signed_in(adam, raise_request_exception=False)
    assert client.post(ADD, FREEZE).status_code == 302
    banner = Banner.objects.get()
    assert (banner.changed_by, timezone.now() - banner.changed_at < timedelta(minutes=1)) == ("adam", True)
    pages = [(Client(), "/login/"), (Client(), "/nothing/"), (client, "/admin/"), (client, "/admin/jobs/job/")]
    pages += [(signed_in(olivia), path) for path in ("/", "/jobs/", "/help/", "/nothing/")]
    for visitor, path in pages:
        assert SHOWN in text_of(visitor.get(path)), path
    with table_missing("jobs", "jobs_job"):
        broken = client.get("/jobs/")
        assert (broken.status_code // 100, SHOWN in text_of(broken)) == (5, True)
    assert client.post(f"/admin/tmsdash/banner/{banner.pk}/delete/", {"post": "yes"}).status_code == 302
    assert regions(client.get("/jobs/")) == 0


def test_each_change_is_in_the_audit_and_without_it_there_is_none(adam):
    client = signed_in(adam, raise_request_exception=False)
    with table_missing("audit", "audit_auditentry"):
        assert client.post(ADD, FREEZE).status_code // 100 == 5
    assert not Banner.objects.exists()
    client.post(ADD, FREEZE)
    address = f"/admin/tmsdash/banner/{Banner.objects.get().pk}"
    client.post(f"{address}/change/", FREEZE | {"kind": "information"})
    client.post(f"{address}/delete/", {"post": "yes"})
    entries = AuditEntry.objects.filter(kind=Kind.SETTING_CHANGED).order_by("sequence")
    bodies = [json.loads(entry.body) for entry in entries]
    assert [(body["what"], body["change"]) for body in bodies] == [
        ("banner", change) for change in ("added", "changed", "deleted")
    ]
    assert (bodies[1]["before"]["kind"], bodies[1]["after"]["kind"]) == ("freeze", "information")
    assert {entry.user_id for entry in entries} == {"adam"}


def test_who_has_the_permission_sets_one_and_auditors_set_none(oscar, audrey):
    for user in (oscar, audrey):
        user.is_staff = True
        user.save()
        user.user_permissions.set(Permission.objects.filter(codename__in=["add_banner", "view_banner"]))
    assert signed_in(oscar).post(ADD, FREEZE).status_code == 302
    assert signed_in(audrey).post(ADD, FREEZE).status_code == 403
    assert signed_in(audrey).get("/admin/tmsdash/banner/").status_code == 200
    assert Banner.objects.count() == 1


def test_the_form_says_that_a_banner_stops_nothing(adam):
    assert "A banner tells people, and stops nothing" in text_of(signed_in(adam).get(ADD))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "x" * 301}, "at most 300 characters"),
        ({"text": "Back\u202eat ten"}, "characters that cannot be seen"),
        ({"text": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"}, "token"),
        ({"begins_at": "2026-03-02T10:00", "ends_at": "2026-03-02T09:00"}, "over"),
    ],
)
def test_what_makes_no_banner_is_refused(adam, changes, words):
    answer = signed_in(adam).post(ADD, FREEZE | changes)
    assert (answer.status_code, words in text_of(answer)) == (200, True)
    assert not Banner.objects.exists()


def test_only_those_of_now_are_shown_the_oldest_first_and_as_text(databases):
    now, hour = timezone.now(), timedelta(hours=1)
    made(text=" tomorrow ", begins_at=now + hour)
    made(text=" yesterday ", ends_at=now - hour)
    made(text="<b>first</b>", begins_at=now - hour, ends_at=now + hour)
    made(text="second", kind="written past the site")
    answer = Client().get("/login/")
    page = answer.content.decode()
    assert page.index("&lt;b&gt;first&lt;/b&gt;") < page.index("second")
    assert (regions(answer), "tomorrow" in page, "yesterday" in page, page.count('role="status"')) == (
        1,
        False,
        False,
        3,
    )


def test_pages_ask_once_in_a_while_and_do_without_the_database(olivia, monkeypatch):
    made()
    client = signed_in(olivia)
    asked = []
    for _ in range(3):
        with CaptureQueriesContext(connections["default"]) as captured:
            assert "Back at ten." in text_of(client.get("/jobs/"))
        asked.append(sum("tmsdash_banner" in query["sql"] for query in captured))
    assert asked == [1, 0, 0]
    banners.forget()
    with table_missing("default", "tmsdash_banner"):
        assert "Back at ten." in text_of(client.get("/jobs/"))


@pytest.mark.parametrize("column", ["ends_at", "changed_at"])
def test_a_row_that_somebody_broke_past_the_site_takes_no_page_away(olivia, column):
    made()
    client = signed_in(olivia)
    client.get("/jobs/")
    with connections["default"].cursor() as cursor:
        cursor.execute(f"UPDATE tmsdash_banner SET {column} = '2099-13-45 00:00:00'")
    banners.forget()
    assert "Back at ten." in text_of(client.get("/jobs/"))
