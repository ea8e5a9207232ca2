"""The audit in the admin: to look at, to search, and never to change."""

import uuid

import pytest
from django.test import Client

from audit.choices import Action, Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import kinds_of, make_attempt, refuse
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")

LISTS = ("/admin/audit/attempt/", "/admin/audit/auditentry/")
HEX_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture(params=["audrey", "adam"])
def viewer(request):
    """A client of an auditor or an administrator."""
    return signed_in(request.getfixturevalue(request.param))


@pytest.fixture
def two(databases):
    """olivia's attempt that TMS accepted, and oscar's that it rejected."""
    accepted = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a1", HEX_ID))
    rejected = make_attempt(
        Kind.REJECTED,
        user_id="oscar",
        action=Action.T_ENABLE,
        cids=("b2", "50%", "a/b"),
        message="b2 <do> not exist",
        http_status=200,
    )
    return accepted, rejected


def shown(client, path, **query):
    """The ids of the attempts in a list; one that has no row is not in it."""
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.headers
    return {
        attempt.attempt_id
        for attempt in Attempt.objects.all()
        if str(attempt.attempt_id) in answer.content.decode().partition("<tbody")[2]
    }


# -- Lists --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_the_lists_show_everything_to_auditors_and_administrators(viewer, two, path):
    assert shown(viewer, path) == {attempt.attempt_id for attempt in two}
    answer = viewer.get(path)
    assert f"{path}add/".encode() not in answer.content
    assert b'name="action"' not in answer.content


@pytest.mark.parametrize(
    ("query", "accepted", "rejected"),
    [
        ({"action_code__exact": "2"}, True, False),
        ({"action_code__exact": "3"}, False, True),
        ({"outcome__exact": "accepted"}, True, False),
        ({"outcome__exact": "rejected"}, False, True),
        ({"is_open__exact": "1"}, False, False),
        ({"is_open__exact": "0"}, True, True),
        ({"user_id": "olivia"}, True, False),
        ({"user_id": "oscar"}, False, True),
        ({"since": "2020-01-01"}, True, True),
        ({"until": "2019-12-31"}, False, False),
    ],
)
def test_attempts_can_be_filtered(viewer, two, query, accepted, rejected):
    expected = {attempt.attempt_id for attempt, wanted in zip(two, (accepted, rejected), strict=True) if wanted}
    assert shown(viewer, LISTS[0], **query) == expected


@pytest.mark.parametrize(
    ("query", "accepted", "rejected"),
    [
        ({"kind__exact": "INTENT"}, True, True),
        ({"kind__exact": "RECORDED"}, True, False),
        ({"kind__exact": "REJECTED"}, False, True),
        ({"action_type": "T-Enable"}, False, True),
        ({"user_id": "olivia"}, True, False),
        ({"until": "2019-12-31"}, False, False),
    ],
)
def test_entries_can_be_filtered(viewer, two, query, accepted, rejected):
    expected = {attempt.attempt_id for attempt, wanted in zip(two, (accepted, rejected), strict=True) if wanted}
    assert shown(viewer, LISTS[1], **query) == expected


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("term", "accepted", "rejected"),
    [
        ("olivia", True, False),
        ("oscar", False, True),
        ("oli", False, False),  # whole terms only
        ("a1", True, False),
        (" a1 ", True, False),
        ("A1", False, False),
        ("a", False, False),
        ("b2", False, True),
        ("50%", False, True),
        ("%", False, False),
        ("a/b", False, True),
        (HEX_ID, True, False),  # an id of 32 hexadecimal digits, which could be an attempt's, too
        (HEX_ID.upper(), False, False),
        (str(uuid.UUID(HEX_ID)), False, False),
        ("nobody", False, False),
        ("", True, True),
        ("a1 b2", False, False),
        ("'; --", False, False),
    ],
)
def test_a_search_finds_users_and_customers_to_the_letter(viewer, two, path, term, accepted, rejected):
    expected = {attempt.attempt_id for attempt, wanted in zip(two, (accepted, rejected), strict=True) if wanted}
    assert shown(viewer, path, q=term) == expected


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "spelled", [str, lambda attempt_id: attempt_id.hex, lambda attempt_id: str(attempt_id).upper()]
)
def test_a_search_finds_an_attempt_by_its_id(viewer, two, path, spelled):
    for attempt in two:
        assert shown(viewer, path, q=spelled(attempt.attempt_id)) == {attempt.attempt_id}


@pytest.mark.parametrize("path", LISTS)
def test_a_search_with_a_null_character_is_harmless(viewer, two, path):
    assert viewer.get(path, {"q": "a\0"}).status_code == 200


def test_a_long_list_comes_in_pages(viewer):
    for number in range(51):
        refuse(cids=(f"c{number}",))
    assert len(shown(viewer, LISTS[0])) == 50
    assert len(shown(viewer, LISTS[0], p=2)) == 1


# -- Details ------------------------------------------------------------------------------------------------------


def test_the_page_of_an_attempt_shows_its_facts_and_leads_on(viewer, two):
    accepted, rejected = two
    answer = viewer.get(f"/admin/audit/attempt/{rejected.pk}/change/")
    for fact in (str(rejected.attempt_id), "oscar", "203.0.113.7", "T-Enable", "b2 <do> not exist", "none"):
        assert fact in text_of(answer)
    assert b"<do>" not in answer.content
    page = viewer.get(f"/admin/audit/attempt/{accepted.pk}/change/").content.decode()
    assert f'href="/admin/jobs/job/?job_id={accepted.attempt_id}"' in page
    entries = f"/admin/audit/auditentry/?attempt_id={accepted.attempt_id}"
    assert f'href="{entries}"' in page
    assert shown(viewer, entries) == {accepted.attempt_id}
    assert "3 audit entries" in text_of(viewer.get(entries))


def test_the_page_of_an_entry_shows_its_facts_and_leads_on(viewer, two):
    accepted, rejected = two
    entry = AuditEntry.objects.get(attempt_id=rejected.attempt_id, kind="REJECTED")
    answer = viewer.get(f"/admin/audit/auditentry/{entry.pk}/change/")
    for fact in (str(rejected.attempt_id), "oscar", "rejected by TMS", '"message": "b2 <do> not exist"'):
        assert fact in text_of(answer)
    assert b"<do>" not in answer.content
    attempt = f"/admin/audit/attempt/?attempt_id={rejected.attempt_id}"
    assert f'href="{attempt}"' in answer.content.decode()
    assert shown(viewer, attempt) == {rejected.attempt_id}


def test_the_page_of_a_long_list_stays_small(viewer):
    attempt = make_attempt(cids=tuple(f"{number:032x}" for number in range(27_682)))
    entry = AuditEntry.objects.get(attempt_id=attempt.attempt_id)
    answer = viewer.get(f"/admin/audit/auditentry/{entry.pk}/change/")
    assert len(answer.content) < 100_000
    assert "more characters" in text_of(answer)
    assert len(viewer.get(f"/admin/audit/attempt/{attempt.pk}/change/").content) < 100_000


# -- Nothing can be changed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["attempt", "auditentry"])
def test_nobody_can_add_change_or_delete(viewer, two, model):
    pk = {"attempt": two[0].pk, "auditentry": AuditEntry.objects.get(kind="RECORDED").pk}[model]
    before = list(Attempt.objects.values()), list(AuditEntry.objects.values())
    page = viewer.get(f"/admin/audit/{model}/{pk}/change/")
    assert page.status_code == 200
    for button in (b'name="_save"', b'name="_continue"', b"deletelink", b"<textarea", f"{model}/add/".encode()):
        assert button not in page.content
    changed = {"user_id": "eve", "outcome": "rejected", "kind": "REJECTED", "body": "{}"}
    for path in (f"{pk}/change/", f"{pk}/delete/", "add/"):
        assert viewer.post(f"/admin/audit/{model}/{path}", changed | {"post": "yes"}).status_code == 403
    assert viewer.get(f"/admin/audit/{model}/add/").status_code == 403
    viewer.post(f"/admin/audit/{model}/", {"action": "delete_selected", "_selected_action": [pk], "post": "yes"})
    assert (list(Attempt.objects.values()), list(AuditEntry.objects.values())) == before
    assert kinds_of(two[0]) == ["INTENT", "ACCEPTED", "RECORDED"]


@pytest.mark.parametrize("path", ["", "audit/", *(path.removeprefix("/admin/") for path in LISTS)])
def test_operators_have_no_access(olivia, path):
    for client in (signed_in(olivia), Client()):
        answer = client.get(f"/admin/{path}")
        assert answer.status_code == 302
        assert "/login/" in answer["Location"]


def test_staff_without_the_permission_sees_nothing(olivia):
    olivia.is_staff = True
    olivia.save()
    for path in LISTS:
        assert signed_in(olivia).get(path).status_code == 403


def test_the_title_of_an_attempt_tells_its_outcome(viewer, two):
    pages = [viewer.get(f"/admin/audit/attempt/{attempt.pk}/change/").content.decode() for attempt in two]
    assert "<title>Accepted – Attempt" in pages[0]
    assert "<title>Rejected by TMS – Attempt" in pages[1]
