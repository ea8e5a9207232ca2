"""The look at what TMS shows at the end of a batch, while its token is in memory."""

import threading

import pytest

from audit.actors import Actor
from audit.choices import Source
from jobs.batches.scopes import Scope
from jobs.models import BatchChunk, JobConfirmation
from setactions.batches import afterwards, background
from setactions.batches.afterwards import check_afterwards
from setactions.batches.tests.commanding import GO, command
from setactions.pages.tests.batch_pages import start, started, upload
from setactions.pages.tests.test_new_action import hidden_fields, press, without_token
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases", "checked")

ACTOR = Actor(user_id="olivia", source=Source.BATCH)


def confirmed():
    return sorted((row.confirmed, row.customer_count) for row in JobConfirmation.objects.all())


def check(batch, token=TOKEN, **options):
    return check_afterwards(batch, ACTOR, Token(token), **options)


def test_a_batch_is_checked_at_its_end_with_one_read(operator, tms, small_chunks, engine_at_rest):
    batch = started(start(operator, check_afterwards="1"))
    engine_at_rest()
    assert reads(tms) == [("ALL",)]
    assert confirmed() == [(1, 1), (2, 2), (2, 2), (2, 2)]
    text = text_of(operator.get(f"/batches/{batch.batch_id}/"))
    assert "7 of the 7 customers accepted were confirmed, first read" in text
    assert "Confirmed 2 of 2, read" in text


def test_without_the_tick_nothing_is_read(operator, tms, small_chunks, engine_at_rest):
    batch = started(start(operator))
    engine_at_rest()
    assert reads(tms) == []
    text = text_of(operator.get(f"/batches/{batch.batch_id}/"))
    assert "Nothing was confirmed yet of the 7 customers accepted" in text


def test_what_goes_on_with_another_token_is_checked(operator, make_batch, tms, engine_at_rest):
    batch = make_batch(count=2)
    operator.post(f"/batches/{batch.batch_id}/resume/", {"token": TOKEN})
    engine_at_rest()
    assert reads(tms) == [("ALL",)]


def test_a_batch_that_is_not_done_is_not_checked(make_batch, tms):
    assert check(make_batch()) is None
    assert reads(tms) == []


def test_a_check_waits_for_a_moment_and_is_called_off_when_the_process_ends(make_batch, run, tms, monkeypatch):
    monkeypatch.setattr(afterwards, "CHECK_AFTER_S", 3600)
    batch = run(make_batch(count=2))
    ending = threading.Event()
    threading.Timer(0.01, ending.set).start()
    assert check(batch, is_called_off=ending.is_set) is None
    assert reads(tms) == []


def test_who_is_not_there_yet_is_still_where_they_were(make_batch, run, tms):
    batch = run(make_batch(count=4))
    tms.reset()  # as if TMS had not moved anybody yet
    tms_does(tms, "Trans-Begin", "c0", "c1")
    tms_does(tms, "PE-Enable", "c2")
    [shown] = check(batch).states
    assert shown.in_words == "Confirmed 1 of 4 · 2 still at Trans-Begin · 1 not known to TMS"


def test_a_check_that_fails_says_why_and_leaves_the_batch_as_it_is(make_batch, run, caplog):
    batch = run(make_batch(count=2))
    failed = check(batch, "fault:http:500")
    assert failed.problems[0].startswith("evian3 could not be read")
    assert "not checked: evian3 could not be read" in caplog.text
    assert confirmed() == []
    batch.refresh_from_db()
    assert batch.state == "done"


def test_the_slot_of_a_batch_is_free_while_its_check_waits(make_batch, tms, monkeypatch, engine_at_rest):
    waiting, go_on = threading.Event(), threading.Event()

    def wait(*_, **__):
        waiting.set()
        go_on.wait(30)

    monkeypatch.setattr(background, "check_afterwards", wait)
    monkeypatch.setattr("setactions.limits.BATCHES_AT_ONCE", 1)
    for batch in (make_batch(count=2), make_batch(count=3)):
        waiting.clear()
        background.start(batch, ACTOR, Token(TOKEN), Scope.WAITING, check=True)
        assert waiting.wait(30)
    go_on.set()


# -- The page of a batch ------------------------------------------------------------------------------------------


def test_the_box_is_ticked_until_somebody_takes_the_tick_out(operator, small_chunks):
    page = upload(operator)
    assert 'name="check_afterwards" value="1" checked' in page.content.decode()
    without_token(operator)
    refused = press(operator, "start/", hidden_fields(page))
    assert refused.status_code == 400
    assert 'name="check_afterwards" value="1">' in refused.content.decode()
    ticked = press(operator, "start/", hidden_fields(page) | {"check_afterwards": "1"})
    assert 'name="check_afterwards" value="1" checked' in ticked.content.decode()


def test_the_page_of_a_batch_checks_it_with_a_token(operator, make_batch, run, tms):
    batch = run(make_batch(count=4))
    answer = operator.post(f"/batches/{batch.batch_id}/verify/", {"token": TOKEN})
    text = text_of(answer)
    assert "Confirmed 4 of 4" in text
    assert f"batch={batch.batch_id}&amp;action=2&amp;state=2" in answer.content.decode()
    assert confirmed() == [(2, 2), (2, 2)]
    failed = operator.post(f"/batches/{batch.batch_id}/verify/", {"token": "fault:unauthorized"})
    assert failed.status_code in (200, 502)


def test_numbers_of_a_batch_lead_to_those_customers_whom_tms_accepted_for_the_action(operator, make_batch, run, tms):
    tms.script("", "fault:http:500")
    batch = run(make_batch(count=4))
    answer = operator.post(f"/batches/{batch.batch_id}/verify/", {"token": TOKEN})
    assert "Confirmed 2 of 2" in text_of(answer)
    action = BatchChunk.objects.filter(batch=batch).first().action_code
    address = f"/status/evian3/?batch={batch.batch_id}&action={action}&state={action}"
    assert f'href="{address}"' in answer.content.decode().replace("&amp;", "&")
    assert "2 of 2 customers of batch" in text_of(operator.get(address))
    assert "There are no customers of batch" in text_of(operator.get(address.replace("action=", "action=1&x=")))
    assert operator.get(address.replace("action=", "action=x")).status_code == 400


# -- The command --------------------------------------------------------------------------------------------------


def test_the_command_prints_what_tms_shows_at_its_end(ready, fleet, tms):
    ended = command(fleet(), "--yes")
    assert ended.code == 0
    assert "TMS shows for PE-Enable: Confirmed 10 of 10." in ended.out
    assert reads(tms) == [("ALL",)]


def test_a_check_that_fails_is_a_warning_of_the_command_and_keeps_its_exit_code(ready, fleet, tms, settings):
    settings.TMS_READS_PER_MINUTE = 0
    ended = command(fleet(), *GO)
    assert ended.code == 0
    assert "was read too often" in ended.json["check"]["problem"]


def test_the_command_reads_nothing_with_no_check(ready, fleet, tms):
    ended = command(fleet(), *GO, "--no-check")
    assert (ended.code, "check" in ended.json) == (0, False)
    assert reads(tms) == []
