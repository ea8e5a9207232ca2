"""Activity: what is in it, in which order, what each filter finds, who sees what, and the same as a file."""

import csv
import io
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connections

from audit.choices import Action, Kind, Source
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt, refuse
from jobs.models import BatchChunk
from jobs.tests.making import CLUSTER, make_batch
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries, text_of

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
State = BatchChunk.State
OTHER = "https://brooke.example"
STATES = {
    Kind.ACCEPTED: State.ACCEPTED,
    Kind.REJECTED: State.REJECTED,
    Kind.NOT_SENT: State.NOT_SENT,
    Kind.UNKNOWN: State.UNKNOWN,
}


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = {"evian3": CLUSTER, "brooke": OTHER}


def at(minute, thing):
    """Give an attempt or a batch the time of so many minutes after noon."""
    type(thing).objects.filter(pk=thing.pk).update(created_at=NOON + timedelta(minutes=minute))
    return thing


def batch_of(minute, *kinds, **changes):
    """A batch of one customer in each chunk, whose attempts had these outcomes, a minute after each other."""
    cids = [f"c{number}" for number in range(len(kinds))]
    batch = at(minute, make_batch(batch_id=uuid.uuid4(), cids=cids, size=1, **changes))
    for later, (chunk, kind) in enumerate(zip(batch.chunks.all(), kinds, strict=True), start=1):
        facts = {"cids": tuple(chunk.cids), "source": Source.BATCH, "batch_id": str(batch.batch_id)}
        owner = {"user_id": batch.user_id, "cluster_url": chunk.cluster_url, "action": Action(chunk.action_code)}
        at(minute + later, make_attempt(kind, attempt_id=chunk.derived_attempt_id, **facts, **owner))
        chunk.state, chunk.attempt_id = STATES[kind], chunk.derived_attempt_id
        chunk.save()
    return batch


@pytest.fixture
def things(olivia, oscar):
    """What was asked for, by a word each, the newest last."""
    return {
        "rejected": at(0, make_attempt(Kind.REJECTED, message="maintenance", cids=("r1",))),
        "whole batch": batch_of(1, Kind.ACCEPTED, Kind.ACCEPTED),
        "not sent": at(10, make_attempt(Kind.NOT_SENT, cluster_url=OTHER, source=Source.API, cids=("n1",))),
        "mixed batch": batch_of(11, Kind.ACCEPTED, Kind.REJECTED, Kind.UNKNOWN, clusters=(OTHER,)),
        "refused": at(20, refuse(cids=(), action=Action.PE_DIRECT)),
        "accepted": at(21, make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a1", "b2"), note="CHG-77: move")),
        "oscar's": at(22, make_attempt(Kind.ACCEPTED, Kind.RECORDED, user_id="oscar", cids=("o1",))),
        "oscar's batch": batch_of(23, Kind.ACCEPTED, user_id="oscar"),
        "in doubt": at(30, make_attempt(Kind.UNKNOWN, cids=("u1",))),
    }


OWN = ["in doubt", "accepted", "refused", "mixed batch", "not sent", "whole batch", "rejected"]


def listed(user, things, path="/activity/?whose=mine"):
    """The words of what a page lists, in its order."""
    answer = signed_in(user).get(path)
    assert answer.status_code == 200
    words = {str(getattr(thing, "batch_id", None) or thing.attempt_id): word for word, thing in things.items()}
    links = re.findall(r'<a class="id" href="/(?:attempts|batches)/([0-9a-f-]{36})/"', answer.content.decode())
    return [words.get(link, link) for link in links]


def test_everything_is_listed_by_time_and_a_batch_once(olivia, things):
    assert listed(olivia, things) == OWN


FOUND = [
    ("outcome=rejected", ["mixed batch", "rejected"]),
    ("outcome=not_sent", ["not sent"]),
    ("outcome=refused", ["refused"]),
    ("outcome=unknown", ["in doubt", "mixed batch"]),
    ("outcome=accepted", ["accepted", "mixed batch", "whole batch"]),
    ("outcome=not_applied", []),
    ("action=PE-Direct", ["refused"]),
    ("cluster=brooke", ["mixed batch", "not sent"]),
    ("source=batch", ["mixed batch", "whole batch"]),
    ("source=api", ["not sent"]),
    ("customer=a1", ["accepted"]),
    ("customer=c2", ["mixed batch"]),
    ("customer=c1", ["mixed batch", "whole batch"]),
    ("customer=c1&outcome=rejected", ["mixed batch"]),
    ("customer=o1", []),
    ("q=chg-77", ["accepted"]),
    ("q=CHG-78", []),
    ("since=2026-03-05&until=2026-03-05", OWN),
    ("since=2026-03-06", []),
    ("outcome=rejected&cluster=brooke", ["mixed batch"]),
    ("user=olivia&source=form&outcome=accepted", ["accepted"]),
]


def test_each_filter_finds_attempts_and_batches(olivia, things):
    for query, words in FOUND:
        assert listed(olivia, things, f"/activity/?whose=mine&{query}") == words, query


def test_that_filters_cannot_be_remembered_costs_nobody_the_list(olivia, things):
    def refuse(execute, sql, *args):
        if sql.startswith("UPDATE") and "tmsdash_session" in sql:
            raise OperationalError("disk is full")
        return execute(sql, *args)

    client = signed_in(olivia)
    assert client.get("/activity/?whose=mine").status_code == 200
    with connections["default"].execute_wrapper(refuse):
        page = client.get("/activity/?whose=mine&outcome=refused")
    assert (page.status_code, str(things["refused"].attempt_id) in page.content.decode()) == (200, True)


def test_ids_are_found_from_six_characters_on(olivia, oscar, things):
    def beginning(thing_id):
        return f"/activity/?q={str(thing_id)[:9]}"

    assert listed(olivia, things, beginning(things["refused"].attempt_id)) == ["refused"]
    assert listed(olivia, things, beginning(things["mixed batch"].batch_id)) == ["mixed batch"]
    chunk = things["mixed batch"].chunks.get(number=1)
    assert listed(olivia, things, beginning(chunk.attempt_id)) == ["mixed batch"]
    assert listed(oscar, things, beginning(chunk.attempt_id)) == []
    assert "Give 6 characters of an id" in text_of(signed_in(olivia).get("/activity/?q=ab"))


def test_a_batch_opens_to_its_chunks_of_the_outcome_that_is_looked_for(olivia, things):
    client, batch = signed_in(olivia), things["mixed batch"]
    page = client.get("/activity/?outcome=rejected&whose=mine").content.decode()
    [address] = re.findall(rf'href="([^"]+)#batch-{batch.batch_id}" aria-expanded="false">1 of 3 chunks', page)
    opened = client.get(address.replace("&amp;", "&")).content.decode()
    chunks = batch.chunks.order_by("number")
    assert f'/attempts/{chunks[1].attempt_id}/"' in opened
    assert f'/attempts/{chunks[0].attempt_id}/"' not in opened
    assert 'aria-expanded="true"' in opened
    everything = client.get(f"/activity/?whose=mine&open={batch.batch_id}").content.decode()
    assert all(f'/attempts/{chunk.attempt_id}/"' in everything for chunk in chunks)


def test_pages_follow_each_other_without_a_gap_whatever_the_clocks_did(olivia, monkeypatch):
    """Times run back here and there, chunks stand between, and new ones come while somebody reads."""
    monkeypatch.setattr("setactions.pages.activity.ENTRIES_PER_PAGE", 4)
    monkeypatch.setattr("jobs.activity.attempts.FIRST_STEP", 2)
    monkeypatch.setattr("jobs.activity.batches.AT_ONCE", 2)
    made = {}
    for number in range(9):
        made[f"attempt {number}"] = at(10 * number if number != 4 else 1, make_attempt(Kind.REJECTED))
        if number % 2:
            made[f"batch {number}"] = batch_of(10 * number + 5, Kind.ACCEPTED, Kind.REJECTED)
    client, path, seen = signed_in(olivia), "/activity/?whose=mine", []
    while path:
        seen += listed(olivia, made, path)
        page = client.get(path).content.decode()
        onward = re.search(r'rel="next" href="([^"]+)"', page)
        path = onward[1].replace("&amp;", "&") if onward else ""
        at(1000, make_attempt(Kind.REJECTED))
    assert sorted(seen) == sorted(made)
    assert [word for word in seen if word.startswith("batch")] == ["batch 7", "batch 5", "batch 3", "batch 1"]


def test_operators_see_their_own_only_and_auditors_everything(olivia, audrey, things):
    assert listed(olivia, things, "/activity/?whose=all") == OWN
    assert "You can see only your own" in text_of(signed_in(olivia).get("/activity/?user=oscar"))
    assert listed(audrey, things, "/activity/") == list(reversed(things))
    assert listed(audrey, things, "/activity/?user=oscar") == ["oscar's batch", "oscar's"]
    assert listed(audrey, things, "/activity/?whose=mine") == []


def test_who_may_see_attempts_but_no_jobs_sees_the_attempts_of_others_batches(olivia, things):
    dora = User.objects.create_user("dora")
    dora.user_permissions.add(Permission.objects.get(codename="decide_attempt"))
    chunk = things["oscar's batch"].chunks.get()
    words = listed(dora, things, "/activity/?user=oscar")
    assert words == [str(chunk.attempt_id), "oscar's"]


def test_the_last_filters_are_remembered_until_they_are_cleared(olivia, things):
    client = signed_in(olivia)
    client.get("/activity/?outcome=rejected&cluster=brooke")
    again = client.get("/activity/")
    assert again["Location"] == "/activity/?cluster=brooke&outcome=rejected&whose=mine"
    page = client.get(again["Location"])
    assert "Outcome: Rejected by TMS" in text_of(page)
    assert '<a href="/activity/?whose=mine">Clear all</a>' in page.content.decode()
    client.get("/activity/?cluster=nonsense")  # is not worth remembering
    client.get("/activity/?whose=mine")
    assert client.get("/activity/")["Location"] == "/activity/?whose=mine"
    other = signed_in(olivia).get("/activity/")  # another session
    assert other.status_code == 200


def test_what_failed_is_two_clicks_away_from_the_navigation(olivia, things):
    client = signed_in(olivia)
    [first] = re.findall(r'<a href="([^"]+)">Activity</a>', client.get("/").content.decode())
    chips = re.findall(r'<a class="chip" href="([^"]+)">([^<]+)</a>', client.get(first).content.decode())
    for word, label in {"rejected": "Rejected by TMS", "refused": "Refused", "not sent": "Not sent"}.items():
        [second] = [address for address, text in chips if text == label]
        assert word in listed(olivia, things, second.replace("&amp;", "&"))


def test_a_row_says_what_came_of_it_in_the_words_of_its_attempt(olivia, things):
    rows = text_of(signed_in(olivia).get("/activity/?outcome=rejected&whose=mine"))
    assert "Rejected by TMS maintenance PE-Enable" in rows


def test_the_file_has_everything_on_all_pages_and_is_noted(olivia, things, monkeypatch):
    monkeypatch.setattr("setactions.pages.activity.ENTRIES_PER_PAGE", 1)
    Attempt.objects.filter(pk=things["rejected"].pk).update(error_message="=1+1", action_name="@SUM(A1)")
    answer = signed_in(olivia).get("/activity/activity.csv?whose=mine")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["id"] for row in rows] == [
        str(getattr(things[word], "batch_id", None) or things[word].attempt_id) for word in OWN
    ]
    assert rows[-1]["error"] == "'=1+1"
    assert rows[-1]["action"] == "'@SUM(A1)"
    assert (rows[3]["kind"], rows[3]["accepted"], rows[3]["chunks"]) == ("batch", "1", "3")
    assert rows[1]["job_id"] == rows[1]["id"]
    assert rows[1]["note"] == "CHG-77: move"
    entry = AuditEntry.objects.filter(kind=Kind.EXPORTED).get()
    assert '"what":"activity"' in entry.body.replace('": "', '":"')
    wrong = signed_in(olivia).get("/activity/activity.csv?outcome=odd")
    assert wrong.status_code == 400
    assert AuditEntry.objects.filter(kind=Kind.EXPORTED).count() == 1


def test_an_empty_list_says_what_to_do(olivia):
    page = text_of(signed_in(olivia).get("/activity/"))
    assert "You have asked for nothing yet." in page
    assert "Nothing of yours matches. Change the filters, or clear them" in text_of(
        signed_in(olivia).get("/activity/?outcome=refused")
    )


def test_hostile_addresses_are_inert(audrey):
    make_attempt(Kind.ACCEPTED, note="<b>bold</b>")
    client = signed_in(audrey)
    texts = ("<script>alert(1)</script>", "' or 1=1 --", "\u202e", "9" * 60, "9-9-9", "\0")
    for name in ("customer", "user", "q", "outcome", "source", "since", "before", "open", "whose"):
        for text in texts:
            answer = client.get("/activity/", {name: text})
            assert answer.status_code in (200, 400), (name, text)
            assert "<script>" not in answer.content.decode()
            assert "<b>" not in answer.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        "whose=all",
        "outcome=rejected&action=PE-Enable&cluster=evian3&source=form&user=olivia",
        "since=2020-01-01&until=2030-01-01&outcome=rejected&user=olivia",
        "customer=c1&since=2020-01-01",
        "q=abcdef",
    ],
)
def test_a_page_takes_a_dozen_queries_however_much_it_shows(audrey, query):
    for number in range(25):
        at(10 * number, make_attempt(Kind.REJECTED))
        batch_of(10 * number + 1, Kind.ACCEPTED, Kind.REJECTED)
    client = signed_in(audrey)
    client.get(f"/activity/?{query}")
    with counted_queries() as queries:
        page = client.get(f"/activity/?{query}")
    assert page.status_code == 200
    assert len(queries) <= 12
    assert not [query["sql"] for query in queries if '"cids"' in query["sql"]]
