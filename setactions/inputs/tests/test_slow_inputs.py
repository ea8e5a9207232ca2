"""No id, name or file that a request can hold keeps the server busy: neither the request nor any page after it."""

import csv
import itertools

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.tests.making import make_batch, make_job
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import done_within, text_of

pytestmark = pytest.mark.pages

GUARD_S = 20  # what takes so long does not end at all
# Each is an id, and a month with so many numbers behind it that going through all ways to divide them never ends.
FREEZING = (f"may{'1' * 40}x", f"1-DEC{'1-' * 60}x", f"sept{'./1' * 40}!", "1" * 128)
ATTEMPTS = "/admin/audit/attempt/"


@pytest.fixture
def nobody(databases):
    """A user without any right, whose refusals keep the ids all the same."""
    return signed_in(User.objects.create_user("nora", password="x"))


@pytest.fixture
def auditor(audrey):
    return signed_in(audrey)


def content(answer):
    assert answer.status_code == 200
    return b"".join(answer) if answer.streaming else answer.content


def test_an_audit_with_any_id_is_exported(fetch, nobody, auditor):
    answer = fetch(client=nobody, cids=FREEZING, allowUnusual=True)
    assert answer.status_code == 403
    refused = Attempt.objects.get(attempt_id=answer.json()["attempt_id"])
    with done_within(GUARD_S):
        rows = content(auditor.get(f"{ATTEMPTS}export.csv", {"time": "all"})).decode().splitlines()
        assert [row["customer_id"] for row in csv.DictReader(rows)] == [*FREEZING[:-1], f"'{FREEZING[-1]}"]
        assert content(auditor.get(f"{ATTEMPTS}export.jsonl"))
        for path in (f"{ATTEMPTS}{refused.pk}/change/", ATTEMPTS, "/admin/jobs/job/", f"/customers/{FREEZING[0]}/"):
            assert content(auditor.get(path))
        assert content(auditor.get(f"/attempts/{refused.attempt_id}/evidence.zip"))


def test_a_job_and_a_batch_with_any_id_are_downloaded(tms, olivia):
    operator = signed_in(olivia)
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=FREEZING)
    job, batch = make_job(job_id=attempt.attempt_id, cids=FREEZING), make_batch(cids=FREEZING)
    with done_within(GUARD_S):
        for path in (f"/jobs/{job.job_id}/customers.csv", f"/batches/{batch.batch_id}/report.csv"):
            assert FREEZING[0] in content(operator.get(path)).decode()
        for path in (f"/jobs/{job.job_id}/", f"/batches/{batch.batch_id}/", f"/attempts/{attempt.attempt_id}/"):
            assert content(operator.get(path))


def test_a_header_that_repeats_a_column_is_refused_before_every_row_is_read_as_often(tms, olivia):
    text = "customer_id" + ",action" * 90_000 + "\n" + "a\n" * 90_000
    file = SimpleUploadedFile("fleet.csv", text.encode())
    form = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "", "csv_file": file}
    with done_within(GUARD_S):
        answer = signed_in(olivia).post("/review/", form, follow=True)
    assert answer.status_code == 400
    assert "names a column twice" in text_of(answer)


def test_user_names_of_accents_cost_strangers_as_little_as_others(databases):
    # Putting accents into their order takes as many steps as their number squared: most of a second for one form.
    accents = "a" + "\u0300\u0316" * 16_000
    with done_within(GUARD_S):
        for _ in range(40):
            answer = Client().post("/login/", {"username": accents, "password": "x"})
            assert answer.status_code in (200, 429)


def test_our_own_filters_take_any_text(auditor, olivia):
    texts = ("may" + "1" * 5000, "(a+)+$" * 800, "\u0300\u0316" * 2500, "9" * 5000, "[" * 5000)
    names = (
        "customer",
        "cid",
        "job",
        "user",
        "action",
        "cluster",
        "since",
        "until",
        "before",
        "page",
        "whose",
        "state",
    )
    lookups = ("user_id__regex", "customers__cid__regex", "o", "_to_field")
    with done_within(3 * GUARD_S):
        for path, text in itertools.product(("/jobs/", "/batches/", "/customers/"), texts):
            for name in (*names, *lookups):
                assert auditor.get(path, {name: text}).status_code in (200, 400), (path, name)
        assert signed_in(olivia).get("/jobs/", {"user_id__regex": "(a+)+$"}).status_code == 200
