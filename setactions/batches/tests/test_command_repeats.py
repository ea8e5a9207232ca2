"""`manage.py set_action_batch` with customers that were asked for already: refused, sent again, or left out."""

import json

import pytest

from audit.models import AuditEntry
from jobs.batches import ledger
from jobs.models import Batch, BatchChunk, Job
from setactions.batches.tests.commanding import CIDS, GO, command, go_on, sent

pytestmark = pytest.mark.usefixtures("ready")
State = BatchChunk.State


@pytest.fixture
def asked(fetch):
    """The first three customers were accepted a moment ago; the attempt's id."""
    return fetch(cids=CIDS[:3]).json()["attempt_id"]


def words_given():
    """Whether each chunk's INTENT says that it was to be sent again."""
    bodies = AuditEntry.objects.filter(kind="INTENT").order_by("pk").values_list("body", flat=True)
    intents = [json.loads(body) for body in bodies]
    return [intent["send_again"] for intent in intents if intent["batch_id"]]


@pytest.mark.parametrize("options", [[], ["--json"], ["--confirm=10"], ["--strict"]])
def test_neither_yes_nor_a_confirmed_number_is_a_word_to_send_again(options, fleet, tms, asked):
    ended = command(fleet(), "--yes", *options)
    assert (ended.code, Batch.objects.count(), len(tms.calls())) == (1, 0, 1)
    problem = ended.json["errors"][0] if "--json" in options else ended.err
    assert problem.startswith("3 customers of this list were asked for already. 3 customers: PE-Enable of olivia was")
    assert f"as attempt {asked}. Look there first; then give --without-accepted to leave them out, or" in problem
    assert problem.endswith(" --send-again if you mean to. Nothing was sent.")
    refused = json.loads(AuditEntry.objects.get(kind="REFUSED").body)
    assert (refused["source"], refused["cids"], refused["code"]) == ("command", CIDS, 409)


def test_json_names_them_as_the_json_endpoint_does(fleet, asked):
    ended = command(fleet(["new", *CIDS]), *GO)
    assert ended.json["overlap"] == {"count": 3, "cids": CIDS[:3], "attempts": [asked], "batches": []}
    assert (ended.json["exit_code"], ended.json["error_count"]) == (1, 1)


def test_send_again_sends_them_and_the_audit_has_the_word_for_each_chunk(fleet, tms, asked):
    ended = command(fleet(), "--yes", "--send-again")
    assert (ended.code, len(tms.calls()), words_given()) == (0, 6, [True] * 5)
    assert "3 customers of this list were asked for already." in ended.out
    assert "They are sent again." in ended.out


def test_without_accepted_leaves_them_out_and_counts_what_is_sent(fleet, tms, settings, asked):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    refused = command(file := fleet(), *GO, "--without-accepted", "--confirm=10")
    assert (refused.code, "which is 7" in refused.json["errors"][0]) == (1, True)
    ended = command(file, *GO, "--without-accepted", "--confirm=7")
    assert (ended.code, ended.json["customers"], ended.json["chunks"]) == (0, 7, 4)
    assert "3 customers of this list were asked for already." in ended.err
    assert "They are left out." in ended.err
    assert set(sent(tms).values()) == {1}
    assert words_given() == [False] * 4


def test_if_nobody_else_is_left_nothing_is_sent(fleet, tms, asked):
    ended = command(fleet(CIDS[1:3]), *GO, "--without-accepted")
    assert (ended.code, len(tms.calls()), Batch.objects.count()) == (1, 1, 0)
    assert ended.json["errors"][0].endswith("No other customer is left to send. Nothing was sent.")


def test_the_two_words_exclude_each_other(fleet, tms):
    ended = command(fleet(), *GO, "--send-again", "--without-accepted")
    assert (ended.code, tms.calls()) == (1, [])
    assert "--send-again and --without-accepted contradict each other" in ended.json["errors"][0]


def test_a_dry_run_says_what_a_run_would_do(fleet, tms, asked):
    ended = command(fleet(), "--dry-run", "--json")
    assert (ended.code, ended.json["overlap"]["count"], ended.json["customers"]) == (0, 3, 10)
    left_out = command(fleet(), "--dry-run", "--json", "--without-accepted")
    assert (left_out.code, left_out.json["customers"]) == (0, 7)
    assert left_out.json["parts"] == [{"cluster": "evian3", "action": "PE-Enable", "customers": 7}]
    assert "give --without-accepted to leave them out" in command(fleet(), "--dry-run").out
    assert "overlap" not in command(fleet(CIDS[3:]), "--dry-run", "--json").json


def test_each_part_of_a_file_is_compared_for_itself(fleet, tms, settings, asked):
    settings.TMS_CLUSTERS = {"evian3": tms.url, "other": tms.url.replace("127.0.0.1", "localhost")}
    rows = [f"{CIDS[0]},PE-Enable,other", f"{CIDS[0]},T-Enable,evian3", f"{CIDS[1]},PE-Enable,evian3"]
    file = fleet([*rows, "new,PE-Enable,evian3"], "id,action,cluster")
    ended = command(file, *GO, cluster=None, action=None)
    assert (ended.code, ended.json["overlap"]["cids"]) == (1, [CIDS[1]])
    ended = command(file, *GO, "--without-accepted", cluster=None, action=None)
    assert (ended.code, ended.json["customers"]) == (0, 3)
    assert (CIDS[0], CIDS[1], "new") not in [call.cids for call in tms.calls()]
    assert sent(tms) == dict.fromkeys(CIDS[:3], 1) | {CIDS[0]: 3, "new": 1}


def test_the_file_of_a_batch_without_those_goes_on_with_it(fleet, tms, monkeypatch, asked):
    tms.script("", "fault:http:401")
    ended = command(file := fleet(), *GO, "--without-accepted")
    assert (ended.code, ended.json["left"]) == (2, 5)
    ended = go_on(file, ended, monkeypatch)
    assert (ended.code, ended.json["counts"]["accepted"], set(sent(tms).values())) == (0, 7, {1, 2})
    assert Job.objects.count() == 5


def test_a_stopped_batch_with_the_same_customers_is_named(fleet, tms, monkeypatch):
    tms.script("fault:http:401")
    ended = command(fleet(), *GO)
    batch = Batch.objects.get()
    ledger.stop(batch, "Stopped by olivia.")
    told = command(fleet(["new", *CIDS[:4]]), "--dry-run").out
    assert f"4 customers of this list are left to send in batch {batch.batch_id} of olivia, which stopped." in told
    assert f"To go on with that one, give --batch-id {ended.json['batch_id']}." in told
    assert "which stopped" not in command(fleet(["new"]), "--dry-run").out


@pytest.fixture
def overtaken(fleet, tms, fetch):
    """A file and its batch, stopped after its first chunk; somebody sent one customer of its third one since."""
    tms.script("", "fault:http:401")
    ended = command(file := fleet(), *GO)
    ledger.stop(Batch.objects.get(), "Stopped by olivia.")
    assert fetch(cids=[CIDS[5], "new"]).status_code == 200
    return file, ended


def test_what_was_sent_since_keeps_a_stopped_batch_from_going_on(overtaken, tms, settings, monkeypatch):
    settings.TMS_DUPLICATE_WINDOW_S = 0  # whatever came since the batch was made counts
    file, ended = overtaken
    refused = go_on(file, ended, monkeypatch)
    assert (refused.code, len(tms.calls())) == (1, 3)
    assert refused.json["overlap"]["cids"] == [CIDS[5]]
    assert Batch.objects.get().state == Batch.State.STOPPED
    assert go_on(file, ended, monkeypatch, "--dry-run").json["overlap"]["count"] == 1


def test_a_word_lets_a_stopped_batch_send_them_again(overtaken, tms, monkeypatch):
    file, ended = overtaken
    ended = go_on(file, ended, monkeypatch, "--send-again")
    assert (ended.code, ended.json["counts"]["accepted"]) == (0, 10)
    assert words_given() == [False, False, True, True, True, True]


def test_a_stopped_batch_may_skip_their_chunks_which_stay_in_the_rest(overtaken, tms, settings, monkeypatch):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    file, ended = overtaken
    skipping = ("--without-accepted", "--confirm=6")
    ended = go_on(file, ended, monkeypatch, *skipping)
    assert (ended.code, ended.json["state"], ended.json["counts"]["accepted"]) == (2, "done", 8)
    assert "The chunks that they are in are skipped." in ended.err
    assert "left out" not in ended.err
    assert (ended.json["counts"]["refused"], ended.json["left"]) == (2, 2)
    [chunk] = BatchChunk.objects.filter(state=State.REFUSED)
    assert (chunk.number, chunk.tries) == (2, 1)
    assert chunk.message == "1 customer of this list was asked for already. Run the rest offers it again."
    ended = go_on(file, ended, monkeypatch, "--send-again", "--confirm=2")
    assert (ended.code, ended.json["counts"]["accepted"]) == (0, 10)
    assert sent(tms)[CIDS[5]] == 2
