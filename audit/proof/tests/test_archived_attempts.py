"""Attempts whose events are in an archive: pages, exports and records go on without them."""

import json

import pytest

from audit.choices import Kind
from audit.models import Attempt, AttemptCustomer, ChainHead
from audit.proof.verification import verify
from audit.services import record_events
from audit.tests.sealing import day, run
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


@pytest.fixture
def archived(old):
    run("audit_archive", "--before", day(50))
    return old


def test_pages_say_where_the_events_are(archived, olivia, audrey):
    for attempt in archived:
        answer = signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/")
        assert answer.status_code == 200
        assert "were moved to an archive of the audit" in text_of(answer)
        assert "Audit anchor" not in text_of(answer)
        assert signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/all.csv").status_code == 404
        assert signed_in(olivia).get(f"/attempts/{attempt.attempt_id}/evidence.zip").status_code == 410
        page = signed_in(audrey).get(f"/admin/audit/attempt/{attempt.pk}/change/")
        assert "were moved to an archive of the audit" in text_of(page)
    assert "Edit this list" not in text_of(signed_in(olivia).get(f"/attempts/{archived[1].attempt_id}/"))
    assert str(archived[0].attempt_id) in signed_in(olivia).get("/customers/a1/").content.decode()


def test_exports_name_them_without_customers(archived, audrey):
    answer = signed_in(audrey).get("/admin/audit/attempt/export.jsonl", {"time": "all"})
    objects = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]
    assert [one["customers"] for one in objects] == [["d4"], [], []]
    assert (objects[2]["customer_count"], objects[2]["entries"]) == (2, [])


def test_nothing_is_added_to_what_is_closed(archived):
    head = ChainHead.objects.get().sequence
    after = record_events(archived[0].attempt_id, [(Kind.REJECTED, {}), (Kind.RECORDED, {})], wait_s=5)
    assert after.outcome == "accepted"
    assert ChainHead.objects.get().sequence == head


def test_files_of_another_key_are_let_be(archived, empty_seal_dir, settings):
    [file] = empty_seal_dir.glob("audit-*")
    other = empty_seal_dir / file.name.replace(file.name.split("-")[1], "0" * 16)
    other.write_bytes(b"somebody else's")
    assert verify().findings == []
    assert other.exists()


def test_one_whose_row_is_gone_is_found(archived):
    AttemptCustomer.objects.filter(attempt=archived[1]).delete()
    Attempt.objects.filter(pk=archived[1].pk).delete()
    found = [(finding.where, finding.problem) for finding in verify().findings]
    assert (f"attempt {archived[1].attempt_id}", "Entry 4 opens it, but it has no row.") in found
