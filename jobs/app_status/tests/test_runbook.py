"""The runbook: which messages its patterns match, who writes it, and how it is shown."""

import json

import pytest
from django.contrib.auth.models import Permission

from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt
from jobs.app_status.runbook import is_safe_link, matches, runbook
from jobs.app_status.statuses import App
from jobs.app_status.tests.making import make_run
from jobs.models import RunbookEntry
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import done_within, table_missing, text_of

ADD = "/admin/jobs/runbookentry/add/"
ENTRY = {
    "pattern": "bootstrap status(*) is not Ready",
    "meaning": "The cluster's TMS is still starting.",
    "next_step": "Try again in ten minutes.",
    "link": "https://wiki.example/tms-starts",
    "position": "100",
}


@pytest.mark.parametrize(
    ("pattern", "message", "is_match"),
    [
        ("not ready", "TMS bootstrap status(INIT) is not Ready", True),
        ("STATUS(*) is not", "TMS bootstrap status(INIT) is not Ready", True),
        ("*ready*", "not Ready", True),
        ("ready*status", "status is Ready", False),
        ("a*a", "a", False),
        ("a**b", "a, then b", True),
        ("those CIDs * do not exist", "those CIDs ['a1'] do not exist", True),
        ("status(.*)", "status(INIT)", False),  # no regular expression
        ("[a-z]+", "abc", False),
        ("***", "anything", False),
        ("straße", "STRASSE", True),
    ],
)
def test_a_pattern_is_text_in_any_case_whose_stars_are_anything(pattern, message, is_match):
    assert matches(pattern, message.casefold()) == is_match


def test_matching_takes_no_longer_than_the_message_is_long():
    with done_within(2):
        assert not any(matches("a*" * 100 + "b", "a" * 4000) for _ in range(100))


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "ftp://host/x", "//host/x", "/x", ""])
def test_only_web_pages_are_linked(link):
    assert not is_safe_link(link)
    assert is_safe_link("HTTPS://wiki.example/x")


@pytest.mark.usefixtures("databases")
def test_of_several_entries_that_match_the_one_with_the_lowest_position_counts():
    for position, meaning in ((20, "second"), (10, "first")):
        RunbookEntry.objects.create(pattern=f"not ready{'*' * (position // 10)}", meaning=meaning, position=position)
    assert runbook().explain("is NOT Ready").meaning == "first"
    assert runbook().explain("") is None
    with table_missing("jobs", "jobs_runbookentry"):
        assert runbook().explain("is not Ready") is None


def test_admins_write_the_runbook_and_the_audit_keeps_each_change(adam):
    client = signed_in(adam)
    assert client.post(ADD, ENTRY).status_code == 302
    entry = RunbookEntry.objects.get()
    assert (entry.meaning, entry.link) == (ENTRY["meaning"], ENTRY["link"])
    address = f"/admin/jobs/runbookentry/{entry.pk}"
    assert client.post(f"{address}/change/", ENTRY | {"meaning": "Not yet."}).status_code == 302
    assert client.post(f"{address}/delete/", {"post": "yes"}).status_code == 302
    assert not RunbookEntry.objects.exists()
    bodies = [
        json.loads(entry.body) for entry in AuditEntry.objects.filter(kind=Kind.SETTING_CHANGED).order_by("sequence")
    ]
    assert [(body["what"], body["name"], body["change"]) for body in bodies] == [
        ("runbookentry", ENTRY["pattern"], change) for change in ("added", "changed", "deleted")
    ]
    assert bodies[1]["before"]["meaning"] == ENTRY["meaning"]
    assert bodies[1]["after"]["meaning"] == "Not yet."


def test_without_its_entry_in_the_audit_the_runbook_does_not_change(adam):
    with table_missing("audit", "audit_auditentry"):
        assert signed_in(adam, raise_request_exception=False).post(ADD, ENTRY).status_code // 100 == 5
    assert not RunbookEntry.objects.exists()


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("pattern", "*a *", "This is in nearly every message."),
        ("link", "javascript:alert(1)", "Enter a valid URL."),
        ("link", "ftp://host.example/x", "Give a link that begins with https:// or http://."),
        ("meaning", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "token"),
    ],
)
def test_what_makes_no_entry_is_refused(adam, field, text, sentence):
    answer = signed_in(adam).post(ADD, ENTRY | {field: text})
    assert answer.status_code == 200
    assert sentence in text_of(answer)
    assert not RunbookEntry.objects.exists()


def test_who_has_the_permission_writes_it_and_auditors_look(oscar, audrey):
    oscar.is_staff = True
    oscar.save()
    assert signed_in(oscar).get(ADD).status_code == 403
    oscar.user_permissions.add(Permission.objects.get(codename="add_runbookentry"))
    assert signed_in(oscar).post(ADD, ENTRY).status_code == 302
    assert ENTRY["pattern"] in text_of(signed_in(audrey).get("/admin/jobs/runbookentry/"))
    audrey.user_permissions.add(Permission.objects.get(codename="add_runbookentry"))
    assert signed_in(audrey).post(ADD, ENTRY | {"pattern": "another"}).status_code == 403


@pytest.mark.usefixtures("databases")
def test_reasons_of_apps_and_messages_of_attempts_are_explained(olivia):
    RunbookEntry.objects.create(
        pattern="records were NOT migrated",
        meaning="Some <b>records</b> are broken.",
        next_step="Call the app's team.",
        link="https://wiki.example/records",
    )
    RunbookEntry.objects.create(pattern="do not exist", meaning="TMS does not know them.", link="javascript:alert(1)")
    run = make_run((("a1", (App("alerts", "Failure", "3 of 120 records were not migrated"),)),))
    page = signed_in(olivia).get(f"/apps/{run.run_id}/").content.decode()
    assert "<strong>Some &lt;b&gt;records&lt;/b&gt; are broken.</strong> Call the app&#x27;s team." in page
    assert '<a href="https://wiki.example/records" rel="noopener noreferrer">Runbook</a>' in page
    attempt = make_attempt(Kind.REJECTED, message="those CIDs ['a1'] do not exist")
    page = signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/").content.decode()
    assert "<strong>TMS does not know them.</strong>" in page
    assert "javascript:" not in page
    assert TOKEN not in page
