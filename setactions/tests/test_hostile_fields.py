"""Hostile text in every field, search and path: shown as text, or not at all."""

import itertools
import json
import logging
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from setactions.tests.hostile import (  # noqa: F401 (the fixtures)
    assert_same_elements,
    chunks,
    controls_in,
    hostile_client,
    taken_apart,
    written_log,
)
from setactions.tests.hostile_texts import HOSTILE_TEXTS
from tmsdash.tests.fixtures import TOKEN


@pytest.mark.pages
def test_fields_of_the_form_are_inert(client, tms):
    def page_of(text):
        changes = {"cluster": text, "action": text, "token": f"{text} é", "cids": "a b"}
        return taken_apart(client.post("/review/", changes, follow=True), 400)

    harmless = page_of("harmless text")
    for text in HOSTILE_TEXTS:
        page = page_of(text)
        if text.strip() and "\0" not in text:
            assert page.elements == harmless.elements, text
    assert tms.calls() == []


@pytest.mark.pages
def test_names_of_files_are_inert(client, tms):
    def page_of(name):
        fields = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN}
        return taken_apart(client.post("/review/", fields | {"csv_file": SimpleUploadedFile(name, b"a1")}, follow=True))

    harmless = page_of("customers.csv")
    for text in HOSTILE_TEXTS:
        page = page_of(f"{text}.csv")
        assert page.elements == harmless.elements, text
        assert "evil" not in page.text
    assert tms.calls() == []


def test_sign_in_is_inert(client):
    addresses = (f"10.0.0.{number}" for number in itertools.count(1))  # some of the texts are the same name to Django

    def pages_of(text):
        asked = Client().get(f"/login/?next={quote(text)}")
        form = {"username": text, "password": text, "next": text}
        failed = Client().post("/login/", form, REMOTE_ADDR=next(addresses))
        return [taken_apart(page).counted for page in (asked, failed)]

    harmless = {False: pages_of("/harmless/"), True: pages_of("/harm\0less/")}
    for text in HOSTILE_TEXTS:
        for page, like in zip(pages_of(text), harmless["\0" in text], strict=True):
            assert page <= like, text  # less, where a name is refused or the way back would lead to elsewhere


def test_reasons_of_decisions_are_inert(client, settings):
    settings.TMS_CLUSTERS = {}  # nothing can be read back
    settings.TMS_OPEN_AFTER_S = 0
    body = {"action_sent": "PE-Enable", "batch_id": None, "repeated": 0}

    def pages_of(reason):
        attempt = make_attempt(Kind.UNKNOWN, body=body)
        path = f"/attempts/{attempt.attempt_id}/"
        pages = {"undecided": taken_apart(client.post(f"{path}decide/", {"reason": reason}), 400)}
        assert client.post(f"{path}decide/", {"reason": reason, "ruling": "applied"}).status_code == 302
        entry = AuditEntry.objects.get(attempt_id=attempt.attempt_id, kind="DECIDED")
        assert controls_in(json.loads(entry.body)["reason"]) == []
        pages["decided"] = taken_apart(client.get(path))
        pages["job"] = taken_apart(client.get(f"/jobs/{attempt.attempt_id}/"))
        pages["admin"] = taken_apart(client.get(f"/admin/audit/auditentry/{entry.pk}/change/"))
        return pages

    harmless = pages_of("a harmless reason")
    for texts in chunks(HOSTILE_TEXTS, 10):
        assert_same_elements(pages_of(" and ".join(texts)), harmless)


SEARCHES = (
    "/jobs/?before={}",
    "/jobs/?whose={}",
    "/admin/jobs/job/?q={}",
    "/admin/audit/attempt/?q={}",
    "/admin/audit/auditentry/?q={}",
    "/admin/audit/auditentry/?user_id={}",
    "/admin/audit/auditentry/?action_type={}",
    "/admin/jobs/job/?user_id={}",
    "/admin/audit/attempt/?cluster_url={}",
    "/admin/auth/user/?q={}",
)


def test_searches_and_filters_are_inert(client):
    harmless = {search: taken_apart(client.get(search.format("harmless"))) for search in SEARCHES}
    for number, text in enumerate(HOSTILE_TEXTS):
        for search in SEARCHES[number % 4 :: 4]:
            page = taken_apart(client.get(search.format(quote(text, safe=""))))
            assert page.elements == harmless[search].elements, (search, text)


def test_names_of_parameters_are_inert(client):
    address = "/admin/jobs/job/?{}=x"
    harmless = taken_apart(client.get(address.format("harmless")), 400)
    for text in HOSTILE_TEXTS[::4]:
        page = taken_apart(client.get(address.format(quote(text, safe=""))), 400)
        assert page.elements == harmless.elements, text


def test_paths_are_inert(client, log):
    harmless = taken_apart(client.get("/jobs/harmless/"), 404)
    for text in HOSTILE_TEXTS:
        page = taken_apart(client.get(f"/jobs/{quote(text, safe='')}/"), 404)
        assert page.elements == harmless.elements, text
        answer = client.get(f"/api/audit/customer/{quote(text, safe='')}")
        assert answer.status_code in (200, 404)
        assert answer["Content-Type"] == "application/json"
        assert b"<" not in answer.content or answer.json()["customer_id"] == text
    assert "Not Found" in log.getvalue()


def test_actions_and_targets_that_scripts_make_up_are_inert(client, fetch, tms):
    for text in HOSTILE_TEXTS:
        answer = fetch(client=client, action=text, url=text, token=text, key="x")
        assert answer.status_code in (400, 403)
        attempt = Attempt.objects.get(attempt_id=answer.json()["attempt_id"])
        assert attempt.action_name == ""
    page = taken_apart(client.get(f"/attempts/{attempt.attempt_id}/"))
    assert "evil" not in page.text
    assert tms.calls() == []


def test_every_logger_writes_hostile_text_on_one_line(log):
    """The `log` fixture judges it. Also of libraries, which clean nothing, and of the text of an exception."""
    for text in HOSTILE_TEXTS:
        logging.getLogger("some.other").warning("it said %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("django").exception("it failed")
    assert "[SET_ACTION]" not in [line[:12] for line in log.getvalue().splitlines()]
