"""The note of a Set Action, the reason or the ticket: taken on each way, kept, shown, found, and required."""

import csv
import io
import json
import uuid
import zipfile

import pytest
from django.core.management import CommandError, call_command

from audit.models import Attempt, AuditEntry
from jobs.models import Batch
from jobs.signatures import batch_is_signed
from setactions.batches.tests.commanding import command
from setactions.pages.tests.batch_pages import form_with_file, started
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press, proceed
from setactions.tests.test_proxy_fetch import assert_refused
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

NOTE = "CHG-4711: move Ärzte & Söhne <north>"
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvbGl2aWEifQ.c2lnbmF0dXJl"
WRONG = {
    "two\nlines": "one line",
    "a\u202eb": "one line",
    "x" * 201: "200 characters",
    f"see {WEB_TOKEN}": "bearer token",
}


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


def opening_of(attempt_id):
    return json.loads(AuditEntry.objects.get(attempt_id=attempt_id, kind__in=["INTENT", "REFUSED"]).body)


def is_whole():
    try:
        call_command("audit_verify", stdout=io.StringIO(), stderr=io.StringIO())
    except (CommandError, SystemExit):
        return False
    return True


def test_a_note_goes_from_the_form_to_the_audit_and_to_every_page(operator, audrey, tms):
    review = fill_in(operator, note=f"  {NOTE} ")
    assert NOTE in text_of(review)
    back = press(operator, "edit/", hidden_fields(review))
    assert "CHG-4711: move Ärzte &amp; Söhne &lt;north&gt;" in back.content.decode()
    sent = proceed(operator, review, token=TOKEN)
    attempt = Attempt.objects.get()
    assert attempt.note == opening_of(attempt.attempt_id)["note"] == NOTE
    for address in (sent.url, f"/jobs/{attempt.attempt_id}/"):
        assert NOTE in text_of(operator.get(address))
    auditor = signed_in(audrey)
    assert NOTE in text_of(auditor.get("/admin/audit/attempt/"))
    rows = csv.DictReader(io.StringIO(b"".join(auditor.get("/admin/audit/attempt/export.csv")).decode("utf-8-sig")))
    assert [row["note"] for row in rows] == [NOTE, NOTE]
    lines = b"".join(auditor.get("/admin/audit/attempt/export.jsonl")).decode()
    assert json.loads(lines.splitlines()[0])["note"] == NOTE
    pack = zipfile.ZipFile(io.BytesIO(auditor.get(f"/attempts/{attempt.attempt_id}/evidence.zip").content))
    assert json.loads(pack.read("evidence.json"))["verification"]["whole"]
    assert f"Note: {NOTE}" in pack.read("ticket.txt").decode()


@pytest.mark.pages
@pytest.mark.parametrize("note", WRONG)
def test_what_is_no_note_is_refused_on_the_form_and_in_json(operator, fetch, tms, note):
    page = fill_in(operator, note=note)
    assert page.status_code == 400
    assert WRONG[note] in text_of(page)
    assert WEB_TOKEN not in page.content.decode()
    answer = fetch(note=note)
    assert_refused(answer, 400, "note", tms)
    assert WEB_TOKEN not in AuditEntry.objects.get().body + answer.content.decode()


@pytest.mark.pages
def test_the_token_itself_is_taken_out_of_the_note(operator, fetch, tms):
    page = fill_in(operator, note=f"with {TOKEN}")
    assert page.status_code == 400
    assert TOKEN not in page.content.decode()
    assert_refused(fetch(note=f"with {TOKEN}"), 400, "note", tms)
    assert_refused(fetch(note=["CHG-1"]), 400, "note", tms)


def test_a_retry_with_another_note_is_a_replay_and_without_a_note_the_body_holds_none(fetch, tms):
    key = uuid.uuid4()
    assert fetch(key=key, note="CHG-1").json()["job_id"] == str(key)
    again = fetch(key=key, note="CHG-2").json()
    assert (again["replayed"], len(tms.calls())) == (True, 1)
    assert Attempt.objects.get(attempt_id=key).note == "CHG-1"
    other = fetch(cids=["c3"]).json()["attempt_id"]
    assert "note" not in opening_of(other)
    refused = fetch(cids=["c3"], note="CHG-3")
    assert refused.status_code == 409
    assert Attempt.objects.get(attempt_id=refused.json()["attempt_id"]).note == "CHG-3"
    assert is_whole()
    Attempt.objects.filter(attempt_id=key).update(note="CHG-9")
    assert not is_whole()


@pytest.mark.pages
def test_where_a_note_is_required_nothing_goes_without(operator, fetch, tms, settings, tmp_path, monkeypatch):
    settings.TMS_REQUIRE_NOTE = "production"
    assert fetch(cids=["z9"]).status_code == 200  # evian3 is not one
    review = fill_in(operator)
    settings.TMS_PRODUCTION_CLUSTERS, settings.TMS_JSON_CONFIRM = ["evian3"], False
    page = fill_in(operator)
    assert (page.status_code, "A note is required on production clusters." in text_of(page)) == (400, True)
    assert "can be searched for. It is required on production clusters." in text_of(page)
    late = proceed(operator, review, confirm="2")  # reviewed before it was required
    assert (late.status_code, "Press Cancel, and write it on the form." in text_of(late)) == (400, True)
    answer = fetch()
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["note"])
    settings.TMS_REQUIRE_NOTE = "true"
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    file = tmp_path / "list.csv"
    file.write_text("customer_id\na1\nb2\n")
    ended = command(file, "--yes", "--confirm", "2")
    assert (ended.code, "--note" in ended.err) == (1, True)
    assert len(tms.calls()) == 1
    key = uuid.uuid4()
    assert fetch(key=key, note="CHG-1").status_code == 200
    assert fetch(key=key).json()["replayed"]
    assert fill_in(operator, cids="c3", note="CHG-2").status_code == 200
    assert command(file, "--yes", "--confirm", "2", "--send-again", "--note", "CHG-3").code == 0
    assert {*Batch.objects.values_list("note", flat=True)} == {"CHG-3"}


def test_a_batch_hands_its_note_to_each_chunk_and_its_signature_covers_it(operator, tms, small_chunks, engine_at_rest):
    form = form_with_file("customer_id\na1\nb2\nc3\nd4\n") | {"note": NOTE}
    batch = started(press(operator, "start/", hidden_fields(operator.post("/review/", form, follow=True))))
    engine_at_rest()
    assert [*Attempt.objects.values_list("note", flat=True)] == [NOTE, NOTE]
    assert NOTE in text_of(operator.get(f"/batches/{batch.batch_id}/"))
    report = b"".join(operator.get(f"/batches/{batch.batch_id}/report.csv")).decode("utf-8-sig")
    assert {row["note"] for row in csv.DictReader(io.StringIO(report))} == {NOTE}
    batch.refresh_from_db()
    assert batch_is_signed(batch)
    batch.note = ""
    assert not batch_is_signed(batch)


def test_attempts_are_found_by_a_part_of_their_note(fetch, audrey, tms):
    first = fetch(cids=["a1"], note="CHG-4711 100%").json()["attempt_id"]
    second = fetch(cids=["b2"], note="chg-4712").json()["attempt_id"]
    third = fetch(cids=["c3"]).json()["attempt_id"]
    auditor = signed_in(audrey)

    def found(term):
        page = text_of(auditor.get("/admin/audit/attempt/", {"q": term})).partition("Filter")[2]
        return [attempt_id in page for attempt_id in (first, second, third)]

    assert found("chg-47") == [True, True, False]
    assert found("4711") == [True, False, False]
    assert found("100%") == [True, False, False]
    assert found("0_%") == [False, False, False]
    assert found("olivia") == [True, True, True]
    assert found("c3") == [False, False, True]
    assert found("none of it") == [False, False, False]
