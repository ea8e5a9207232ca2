"""What witnesses are told over HTTP: by their token only, and nothing that costs much."""

import pytest
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import MerkleTile, StoredCheckpoint
from audit.tests.sealing import run
from audit.transparency import api, tiles
from audit.transparency.growing import Leaves
from audit.transparency.merkle import Tree, is_consistent, leaf_hash
from audit.transparency.notes import Checkpoint
from audit.transparency.tests.logs import AT
from tmsdash import rates
from tmsdash.db.transactions import write_transaction

TOKEN = "witness-0123456789abcdef"
CHECKPOINT, CONSISTENCY = "/api/audit/checkpoint", "/api/audit/consistency"


@pytest.fixture
def get(databases, settings):
    """A function that asks as a witness does."""
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    rates.forget()

    def ask(path, token=f"Bearer {TOKEN}", **query):
        return Client().get(path, query, headers={"Authorization": token})

    yield ask
    rates.forget()


def log_of(size):
    """A log of so many entries, as sealing leaves it."""
    tree = tiles.growing(0)
    tree.add(Leaves(b"".join(leaf_hash(str(number).encode()) for number in range(size))))
    tree.write_full()
    with write_transaction("audit"):
        tree.write_tails()
    note = str(Checkpoint.make("log", size, tiles.tree(size).root(), AT))
    StoredCheckpoint.objects.create(size=size, root="00" * 32, note=note, created_at=AT)


def refusal(answer):
    return answer.status_code, answer.json()["message"]


def test_only_whoever_presents_the_token_is_answered(get, settings):
    for path in (CHECKPOINT, CONSISTENCY):
        for token in ("", TOKEN, f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer", "Bearer é"):
            assert refusal(get(path, token)) == (403, api.FORBIDDEN)
    assert get(CHECKPOINT).status_code == 404
    settings.AUDIT_WITNESS_TOKEN = ""
    assert refusal(get(CHECKPOINT, "Bearer ")) == (404, api.NO_WITNESSES)


def test_a_site_that_has_sealed_nothing_says_so(get):
    assert refusal(get(CHECKPOINT)) == (404, api.NOTHING_SEALED)
    assert refusal(get(CONSISTENCY, **{"from": 0, "to": 0})) == (404, api.NOTHING_SEALED)


@pytest.mark.usefixtures("audited", "empty_seal_dir")
def test_the_checkpoint_is_the_last_one_that_was_signed_as_it_was(get):
    assert run("audit_seal")[0] == run("audit_seal")[0] == 0
    answer = get(CHECKPOINT)
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content.decode() == StoredCheckpoint.objects.order_by("size").last().note
    assert Checkpoint.parse(answer.content.decode()).size == StoredCheckpoint.objects.order_by("size").last().size


def test_sizes_that_do_not_fit_and_what_is_no_size_are_told_apart(get):
    log_of(5)
    for old, new in ((3, 2), (2, 6), (6, 7)):
        code, message = refusal(get(CONSISTENCY, **{"from": old, "to": new}))
        assert (code, "covers 5 entries" in message) == (409, True)
    for old, new in (("", ""), ("-1", "3"), ("1", "9" * 19), ("١", "3"), ("1.0", "2")):
        assert refusal(get(CONSISTENCY, **{"from": old, "to": new})) == (400, api.NO_NUMBER)
    assert get(CONSISTENCY).status_code == 400


def test_a_proof_holds_and_reads_a_few_rows_however_long_the_audit_is(get):
    size = 256 * 256 + 1000
    log_of(size)
    for old in (1, 255, 256, 65_536, 65_537, size - 1, size):
        with CaptureQueriesContext(connections["audit"]) as queries:
            answer = get(CONSISTENCY, **{"from": old, "to": size}).json()
        proof = [bytes.fromhex(part) for part in answer["proof"]]
        assert (answer["from"], answer["to"]) == (old, size)
        assert is_consistent(old, tiles.tree(old).root(), size, tiles.tree(size).root(), proof)
        assert len(queries) <= 8


def test_tiles_that_are_not_there_are_named_and_nothing_is_proven(get):
    log_of(300)
    MerkleTile.objects.filter(level=0, number=0).delete()
    code, message = refusal(get(CONSISTENCY, **{"from": 100, "to": 300}))
    assert (code, "audit_verify" in message) == (409, True)


def test_whoever_asks_too_often_waits(get, monkeypatch):
    monkeypatch.setattr(api, "PER_MINUTE", 2)
    assert [get(CHECKPOINT).status_code for _ in range(3)] == [404, 404, 429]
    assert get(CHECKPOINT)["Retry-After"] == "60"


def test_a_proof_of_three_million_entries_asks_for_some_dozens_of_hashes():
    asked = []

    def stored(level, number):
        asked.append((level, number))
        return b"\0" * 32

    for old in (1, 999_999, 2_097_152, 2_999_999):
        asked.clear()
        proof = Tree(3_000_000, stored).consistency(old)
        assert len(proof) < 30
        assert len({(level, number // 256) for level, number in asked}) <= 8  # tiles
