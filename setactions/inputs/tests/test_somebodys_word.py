"""Ids that look damaged are taken on somebody's word: how it is asked for and given, and that the audit keeps it."""

import io
import json
import uuid
import zipfile
from dataclasses import replace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from audit.models import Attempt, AuditEntry
from audit.selectors import opening_body
from jobs.models import Batch
from setactions.batches.tests.commanding import command
from setactions.pages.review_places import keep
from setactions.pages.tests.test_new_action import hidden_fields, press, review_on
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.pages

USUAL, DAMAGED = "0123456789abcdef" * 2, "#N/A"
TICK = 'name="allow_unusual"'
WORDS = "deliberately with ids that look damaged"


@pytest.fixture
def operator(tms, olivia):
    return signed_in(olivia)


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)


def fill_in(client, cids=f"{USUAL}\n{DAMAGED}", **changes):
    data = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": cids} | changes
    return client.post("/review/", data, follow=True)


def submission_in(page):
    return review_on(page).submission


def intents():
    return [json.loads(entry.body) for entry in AuditEntry.objects.filter(kind="INTENT").order_by("sequence")]


# -- The form -------------------------------------------------------------------------------------------------------


def test_the_form_offers_the_tick_where_ids_look_damaged_and_keeps_what_was_typed(operator, tms):
    assert TICK not in operator.get("/").content.decode()
    for good in ({}, {"allow_unusual": "on"}):
        assert TICK not in fill_in(operator, f"{USUAL}\nx y", **good).content.decode()
    page = fill_in(operator)
    assert (page.status_code, tms.calls()) == (400, [])
    assert "tick “Take ids that look damaged” below" in text_of(page)
    assert TICK in page.content.decode()
    assert f"{USUAL}\n{DAMAGED}</textarea>" in page.content.decode()
    upload = fill_in(operator, "", csv_file=SimpleUploadedFile("a.csv", f"id\n{DAMAGED}\n".encode()))
    assert TICK in upload.content.decode()


def test_a_tick_stays_where_something_else_is_wrong(operator):
    page = fill_in(operator, allow_unusual="on", token="").content.decode()
    assert "checked" in page.partition(TICK)[2].partition(">")[0]


def test_what_was_taken_on_a_tick_is_sent_and_the_word_is_in_the_audit(operator, tms, adam):
    review = fill_in(operator, allow_unusual="on")
    assert "1 id looks damaged (an error of a spreadsheet, such as #N/A): #N/A." in text_of(review)
    place = press(operator, "send/", hidden_fields(review)).url
    assert tms.calls()[-1].cids == (USUAL, DAMAGED)
    [intent] = intents()
    assert intent["allow_unusual"] is True
    assert WORDS in text_of(operator.get(place))
    admin, attempt = signed_in(adam), Attempt.objects.get()
    assert "with ids that look damaged" in text_of(admin.get(f"/admin/audit/attempt/{attempt.pk}/change/"))
    pack = zipfile.ZipFile(io.BytesIO(b"".join(admin.get(f"{place}evidence.zip"))))
    assert f"{WORDS.capitalize()}\n" in pack.read("ticket.txt").decode()


def test_a_tick_for_a_list_without_such_ids_is_no_word(operator):
    place = press(operator, "send/", hidden_fields(fill_in(operator, USUAL, allow_unusual="on"))).url
    [intent] = intents()
    assert "allow_unusual" not in intent
    assert "damaged" not in text_of(operator.get(place))


def test_a_header_further_down_a_single_column_is_taken_on_a_tick_and_beside_others_never(operator):
    for cids, taken in ((f"{USUAL}\nid\n1234567", True), (f"id,x\n{USUAL},1\nid,x\n1234567,2", False)):
        assert (fill_in(operator, cids).status_code, cids) == (400, cids)
        assert (fill_in(operator, cids, allow_unusual="on").status_code == 200) is taken


def test_a_list_that_was_taken_once_is_not_stopped_when_it_is_edited(operator):
    form = press(operator, "edit/", hidden_fields(fill_in(operator, allow_unusual="on"))).content.decode()
    assert "checked" in form.partition(TICK)[2].partition(">")[0]


# -- Attempts and reviews that are taken up again ----------------------------------------------------------------------


@pytest.fixture
def rejected(operator, tms):
    """Send a list of which TMS does not know the first id; returns the address of the attempt."""

    def send(*cids):
        tms.script("fault:unknown-ids:1")
        review = fill_in(operator, "\n".join(cids), allow_unusual="on")
        return press(operator, "send/", hidden_fields(review)).url

    return send


@pytest.mark.parametrize(("cids", "is_needed"), [((USUAL, DAMAGED), True), ((DAMAGED, USUAL), False)])
def test_a_repaired_list_keeps_the_word_as_long_as_it_needs_it(operator, rejected, cids, is_needed):
    place = rejected(*cids)
    assert submission_in(operator.post(f"{place}repair/", follow=True)).allow_unusual is is_needed
    form = operator.post(f"{place}edit/", follow=True).content.decode()
    assert "checked" in form.partition(TICK)[2].partition(">")[0]


def test_a_list_sent_before_anybody_was_asked_is_repaired_on_the_form(operator, rejected, monkeypatch):
    place = rejected(USUAL, DAMAGED)
    monkeypatch.setattr(
        "setactions.pages.attempt_view.opening_body", lambda attempt: opening_body(attempt) | {"allow_unusual": False}
    )
    page = operator.post(f"{place}repair/", follow=True)
    assert "<title>New action" in page.content.decode()


def test_a_review_that_ended_before_anybody_was_asked_goes_back_to_the_form(operator, tms, settings):
    page = fill_in(operator, allow_unusual="on")
    review = review_on(page)
    keep(replace(review, submission=replace(review.submission, allow_unusual=False), made_at=0.0), "olivia")
    page = press(operator, "send/", hidden_fields(page))
    assert "<title>New action" in page.content.decode().replace("Nothing was sent – ", "")
    assert (DAMAGED in page.content.decode(), tms.calls()) == (True, [])


# -- JSON -----------------------------------------------------------------------------------------------------------


def test_json_takes_them_with_a_flag_that_the_audit_keeps(fetch, tms):
    refused = fetch(cids=[USUAL, DAMAGED])
    assert (refused.status_code, tms.calls()) == (400, [])
    [error] = refused.json()["errors"]["cids"]
    assert error.startswith("Item 2: The id looks damaged (an error of a spreadsheet, such as #N/A). ")
    assert error.endswith('say "allowUnusual": true.')
    taken = fetch(cids=[USUAL, DAMAGED], allowUnusual=True)
    assert taken.status_code == 200
    assert any(DAMAGED in warning for warning in taken.json()["warnings"])
    fetch(cids=[USUAL], allowUnusual=True, sendAgain=True)
    assert [intent.get("allow_unusual") for intent in intents()] == [True, None]


def test_a_replay_in_json_needs_no_word_once_more_and_another_list_stays_refused(fetch, tms):
    key = uuid.uuid4()
    first = fetch(cids=[USUAL, DAMAGED], allowUnusual=True, key=key)
    for words in ({}, {"allowUnusual": False}, {"allowUnusual": True}, {"sendAgain": True}):
        again = fetch(cids=[USUAL, DAMAGED], key=key, **words)
        assert (again.status_code, again.json().get("replayed")) == (200, True), words
        assert again.json()["attempt_id"] == first.json()["attempt_id"] == str(key)
    assert fetch(cids=[DAMAGED], key=key).status_code == 409
    assert fetch(cids=[USUAL, DAMAGED], key=uuid.uuid4()).status_code == 400
    assert len(tms.calls()) == 1


@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_the_flag_in_json_is_true_or_false(fetch, tms, value):
    answer = fetch(cids=[USUAL], allowUnusual=value)
    assert (answer.status_code, tms.calls()) == (400, [])
    assert answer.json()["errors"] == {"allowUnusual": ["allowUnusual must be true or false."]}


@pytest.mark.parametrize("item", [None, True, 1.5, "a b", "", []])
def test_the_flag_takes_nothing_that_can_be_no_id(fetch, tms, item):
    assert (fetch(cids=[USUAL, item], allowUnusual=True).status_code, tms.calls()) == (400, [])


@pytest.mark.parametrize("secret", ["12|vErYsEcReTvErYsEcReT", "-vErYsEcReTvErYsEcReT", "vErYsEcReTvErYsEcReT="])
def test_what_may_be_a_token_is_not_quoted(fetch, operator, tmp_path, token, secret):
    file = tmp_path / "fleet.csv"
    file.write_text(f"id\n{USUAL}\n{secret}\n")
    assert "vErY" not in fetch(cids=[USUAL, secret]).content.decode()
    assert "vErY" not in str(fill_in(operator, secret).context["form"].errors)
    ended = command(file, "--yes")
    assert (ended.code, "vErY" in ended.out + ended.err) == (1, False)


# -- The command ----------------------------------------------------------------------------------------------------


def test_the_command_takes_them_with_an_option_and_names_it_for_going_on(tms, olivia, tmp_path, token, monkeypatch):
    file = tmp_path / "fleet.csv"
    file.write_text(f"id\n{USUAL}\n{DAMAGED}\n1.5E+7\n2.5E+7\n")
    ended = command(file, "--yes", "--json")
    assert (ended.code, ended.json["error_count"], len(ended.json["errors"]), tms.calls()) == (1, 3, 2, [])
    assert all(error.endswith("give --allow-unusual.") for error in ended.json["errors"])
    tms.script("fault:unauthorized")
    ended = command(file, "--yes", "--json", "--allow-unusual")
    assert "--allow-unusual" in ended.json["resume"]
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    ended = command(file, "--yes", "--json", "--allow-unusual", "--batch-id", ended.json["batch_id"])
    assert (ended.code, tms.calls()[-1].cids) == (0, (USUAL, DAMAGED, "1.5E+7", "2.5E+7"))


def test_of_a_batch_the_chunks_that_hold_them_say_so_in_the_audit(tms, olivia, tmp_path, token, settings):
    settings.TMS_BATCH_CHUNK = 2
    file = tmp_path / "fleet.csv"
    file.write_text("\n".join(["id", f"{1:032x}", f"{2:032x}", f"{3:032x}", DAMAGED]))
    assert command(file, "--yes", "--allow-unusual").code == 0
    said = {tuple(intent["cids"]): intent.get("allow_unusual") for intent in intents()}
    assert said == {(f"{1:032x}", f"{2:032x}"): None, (f"{3:032x}", DAMAGED): True}
    assert Batch.objects.get().allow_unusual


def test_a_batch_of_the_form_keeps_the_word_too(operator, tms, settings, engine_at_rest):
    settings.TMS_MAX_CIDS_PER_CALL = 1
    press(operator, "start/", hidden_fields(fill_in(operator, allow_unusual="on")))
    engine_at_rest()
    assert [intent.get("allow_unusual") for intent in intents()] == [True]


def test_strict_and_its_opposite_are_not_given_together(tms, olivia, tmp_path, token):
    file = tmp_path / "fleet.csv"
    file.write_text(f"{USUAL}\n")
    ended = command(file, "--yes", "--strict", "--allow-unusual")
    assert (ended.code, tms.calls()) == (1, [])
    assert "--strict and --allow-unusual contradict each other. Give one of them." in ended.err
