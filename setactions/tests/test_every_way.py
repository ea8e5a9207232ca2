"""No customer gets an action twice, whichever two ways it is asked for: form, JSON, batch of the pages, command."""

import itertools
import signal
import uuid

import pytest

from jobs.batches import ledger
from jobs.models import Batch
from setactions.batches.tests.commanding import command, sent
from setactions.pages.tests.batch_pages import upload
from setactions.pages.tests.test_new_action import fill_in, hidden_fields, press
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import at_once, until

WAYS = ("form", "json", "batch", "command")
SHARED = [f"{number:032x}" for number in range(6)]
LISTS = {
    "the same list": SHARED,
    "one more in front": ["f" * 32, *SHARED],
    "sorted anew": SHARED[::-1],
    "cut elsewhere": SHARED[2:5],
}


@pytest.fixture
def prepare(tms, olivia, oscar, fetch, settings, tmp_path, monkeypatch, engine_at_rest):
    """Prepare to send a list, up to the last click: returns what does that, and tells whether it was not refused."""
    settings.TMS_MAX_CIDS_PER_CALL, settings.TMS_BATCH_CHUNK = 8, 3
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # it may run in a thread
    (token_file := tmp_path / "token").write_text(TOKEN)
    users = {"olivia": olivia, "oscar": oscar}

    def form(user, cids):
        client = signed_in(users[user])
        fields = hidden_fields(fill_in(client, cids="\n".join(cids)))
        return lambda: press(client, "send/", fields).status_code == 302

    def json(user, cids):
        client = signed_in(users[user])
        return lambda: fetch(cids=cids, client=client).status_code == 200

    def batch(user, cids):
        client = signed_in(users[user])
        fields = hidden_fields(upload(client, [*cids, *(uuid.uuid4().hex for _ in range(6))]))
        fields |= {"first_only": "1"} if user == "oscar" else {}
        return lambda: press(client, "start/", fields).status_code == 302

    def by_command(user, cids):
        (file := tmp_path / f"{uuid.uuid4()}.csv").write_text("\n".join(["customer_id", *cids]))
        return lambda: command(file, "--yes", f"--token-file={token_file}", "--chunk=2", user=user).code == 0

    ways = {"form": form, "json": json, "batch": batch, "command": by_command}
    return lambda way, user, cids: ways[way](user, cids)


@pytest.mark.parametrize(("first", "second"), [*itertools.product(WAYS, WAYS)])
def test_of_two_users_one_after_the_other_the_second_is_refused(first, second, prepare, tms, engine_at_rest):
    send = prepare(first, "olivia", SHARED)
    others = {name: prepare(second, "oscar", cids) for name, cids in LISTS.items()}
    assert send()
    engine_at_rest()
    calls = len(tms.calls())
    assert {name: send_again() for name, send_again in others.items()} == dict.fromkeys(LISTS, False)
    assert len(tms.calls()) == calls
    assert set(sent(tms).values()) == {1}
    assert sent(tms).keys() >= set(SHARED)


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations_with_replacement(WAYS, 2)])
def test_of_two_users_at_once_only_one_sends_each_customer(first, second, prepare, tms, engine_at_rest):
    sends = [prepare(first, "olivia", SHARED), prepare(second, "oscar", LISTS["one more in front"])]
    begun = at_once(2, lambda number: sends[number]())
    until(lambda: not Batch.objects.filter(state=Batch.State.RUNNING).exists())
    for batch in Batch.objects.filter(state=Batch.State.PAUSED):
        ledger.stop(batch, "The first one is enough here.")
    engine_at_rest()
    assert any(begun)
    if {first, second} <= {"form", "json"} or {first, second} <= {"batch", "command"}:
        assert not all(begun)  # else both may begin, and then the chunks that share customers are refused
    assert set(sent(tms).values()) == {1}
