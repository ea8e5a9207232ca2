"""The report of a batch: why customers were not accepted, and what it is when a row cannot be read."""

import csv
import io
import logging
import os
from unittest import mock

import pytest
from django.db import connections
from django.db.models import F

from jobs.batches.selectors import reasons_of
from jobs.models import Batch, BatchChunk
from setactions.batches.report import report_lines
from setactions.batches.tests.commanding import CIDS, GO, command, go_on
from setactions.management.commands import set_action_batch
from tmsdash.downloads import IncompleteError
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("ready")
WHY = "The connection to 127.0.0.1:2 was refused, so nothing was sent"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def damage(batch, number, cids="5"):
    """Change a chunk's list of ids in the database into something that is none."""
    with connections["jobs"].cursor() as cursor:
        where = "batch_id = %s AND number = %s"
        cursor.execute(f"UPDATE jobs_batchchunk SET cids = %s WHERE {where}", [cids, batch.pk, number])


def test_each_customer_that_was_not_sent_has_the_reason_and_so_has_the_summary(fleet, tmp_path):
    out = tmp_path / "out.csv"
    ended = command(fleet(CIDS[:3]), *GO, "--report", out, cluster="brooke")
    assert ended.code == 2
    assert ended.json["reason"].startswith(f"Not sent (3): {WHY}")
    rows = rows_of(out.read_text())
    assert {row["outcome"] for row in rows} == {"not_sent"}
    assert all(row["reason"].startswith(WHY) for row in rows)
    assert all("you may send it again" in row["reason"] for row in rows)


def test_a_stopped_batch_says_why_of_what_it_did_not_reach(fleet, tmp_path):
    out = tmp_path / "out.csv"
    file = fleet(CIDS)
    ended = command(file, *GO, "--chunk=1", "--report", out, cluster="brooke")
    assert (ended.code, ended.json["state"]) == (2, "stopped")
    rows = rows_of(out.read_text())
    assert [row["outcome"] for row in rows] == ["not_sent"] * 5 + ["waiting"] * 5
    assert all(row["reason"].startswith("Not sent yet. 5 chunks failed") for row in rows[5:])


def test_a_rejection_a_doubt_and_an_id_unknown_to_tms_have_reasons_an_acceptance_has_none(fleet, tms, tmp_path):
    tms.script("fault:unknown-ids:1", "fault:http:500", "fault:http:400")
    out = tmp_path / "out.csv"
    ended = command(fleet(CIDS[:8]), *GO, "--report", out)
    reasons = {row["outcome"]: row["reason"] for row in rows_of(out.read_text())}
    assert {outcome for outcome, reason in reasons.items() if not reason} == {"accepted"}
    assert "Do not send the list again" in reasons["unknown"]
    assert "do not exist" in reasons["rejected"] or "did not understand" in reasons["rejected"]
    assert "Correct it" in reasons["unknown_to_tms"]
    assert "Outcome unknown (2): HTTP 500" in ended.json["reason"]


def test_a_batch_of_which_all_was_accepted_needs_no_reason(fleet):
    assert command(fleet(CIDS[:2]), *GO).json["reason"] == ""


def test_the_page_of_a_batch_says_why_nothing_was_sent(make_batch, operator):
    batch = make_batch(count=2)
    batch.chunks.update(state=BatchChunk.State.NOT_SENT, message=f"{WHY}.")
    assert f"Not sent (2): {WHY}." in text_of(operator.get(f"/batches/{batch.batch_id}/"))
    assert reasons_of(batch) == [f"Not sent (2): {WHY}."]


def test_of_many_reasons_the_first_are_given_and_the_others_counted(make_batch):
    batch = make_batch(count=8, size=1)
    for chunk in batch.chunks.filter(number__lt=6):
        batch.chunks.filter(pk=chunk.pk).update(state=BatchChunk.State.REJECTED, message=f"Reason {chunk.number}.")
    assert reasons_of(batch)[-2:] == ["Rejected by TMS (1): Reason 4.", "There is 1 more reason."]
    batch.chunks.update(state=BatchChunk.State.REJECTED, message=F("number"))
    assert reasons_of(batch)[5:] == ["There are 3 more reasons."]


def test_a_download_with_a_damaged_row_does_not_end_as_if_it_were_whole(make_batch, operator, caplog):
    caplog.set_level(logging.ERROR)
    batch = make_batch(count=50)
    damage(batch, 20)
    answer = operator.get(f"/batches/{batch.batch_id}/report.csv")
    rows = rows_of(answer.getvalue().decode())
    assert (answer.status_code, rows[-1]["customer_id"][:11]) == (200, "INCOMPLETE:")
    assert "download it again" in rows[-1]["customer_id"]
    assert len(rows) < 50
    assert [record.getMessage()[:10] for record in caplog.records] == ["[DOWNLOAD]"]


def test_rows_that_nobody_can_read_from_the_first_on_are_an_error_page(make_batch, operator):
    batch = make_batch(count=4)
    damage(batch, 0)
    operator.raise_request_exception = False
    answer = operator.get(f"/batches/{batch.batch_id}/report.csv")
    assert answer.status_code == 500
    assert "Content-Disposition" not in answer


@pytest.mark.parametrize("number", [0, 12, 24])
def test_a_chunk_that_is_missing_does_not_go_unnoticed(make_batch, number):
    batch = make_batch(count=50)
    batch.chunks.filter(number=number).delete()
    with pytest.raises(IncompleteError, match=f"^Chunk {number + 1} of the batch is missing.$"):
        list(report_lines(Batch.objects.get(pk=batch.pk)))


def test_a_chunk_with_fewer_ids_than_it_counts_does_not_go_unnoticed(make_batch):
    batch = make_batch(count=4)
    damage(batch, 1, '["c2"]')
    with pytest.raises(IncompleteError, match="^Chunk 2 does not hold the customers that it counts"):
        list(report_lines(Batch.objects.get(pk=batch.pk)))


def test_no_list_of_ours_is_taken_from_a_report_that_is_not_whole(make_batch, operator, tms, tmp_path):
    batch = make_batch(count=50)
    damage(batch, 20)
    file = tmp_path / "broken.csv"
    file.write_bytes(operator.get(f"/batches/{batch.batch_id}/report.csv").getvalue())
    ended = command(file, *GO)
    assert (ended.code, ended.json["error_count"] > 0, tms.calls()) == (1, True, [])


def test_a_report_that_cannot_be_read_leaves_the_old_one_and_fails(fleet, tmp_path, monkeypatch):
    file, out = fleet(), tmp_path / "out.csv"
    ended = command(file, *GO, "--report", out)
    before = out.read_text()
    BatchChunk.objects.filter(number=3).delete()
    ended = go_on(file, ended, monkeypatch, "--report", out)
    assert (ended.code, ended.json["state"]) == (2, "done")  # its customers are missing among the accepted ones
    assert "Chunk 4 of the batch is missing. Nothing was sent." in ended.err
    assert out.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet.csv", "out.csv"]


def test_a_report_that_breaks_after_a_run_leads_to_the_page_and_not_to_a_run_that_would_break_too(fleet, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with mock.patch.object(set_action_batch, "report_lines", side_effect=_without_a_chunk):
        ended = command(fleet(), *GO, "--report", pipe)
    written = os.read(end, 65_536).decode()
    os.close(end)
    assert (ended.code, ended.json["status"], ended.json["counts"]["accepted"]) == (3, "success", 10)
    assert ended.err == (
        "The report was not made. Chunk 1 of the batch is missing. What was sent is recorded: see the page of the "
        "batch; audit_verify --jobs says which rows are damaged."
    )
    assert "Do not use this file: see the page of the batch, and tell" in written


def _without_a_chunk(batch):
    batch.chunks.filter(number=0).delete()
    return report_lines(batch)
