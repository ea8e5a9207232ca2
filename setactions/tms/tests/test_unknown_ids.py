"""Repairing a list of which TMS does not know some ids: reading its refusal back, both parts as files, and going on."""

import re

import pytest
from django.contrib.auth.models import Group

from audit.choices import Kind, Outcome
from audit.models import Attempt
from audit.tests.making import make_attempt
from jobs.models import Job
from setactions.devtools.simulator.fleet import Fleet
from setactions.inputs.csv_table import read_list
from setactions.pages.tests.test_new_action import hidden_fields, press, proceed
from setactions.resolving.tests.doubting import send
from setactions.tms.unknown_ids import Repair, find_repair
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import done_within, text_of

pytestmark = pytest.mark.pages

MANY = tuple(f"{number:032x}" for number in range(27_000))
GUARD_S = 20  # what takes so long does not end at all


def refusal(*cids):
    return f"those CIDs {list(cids)} do not exist"


# -- Reading the message ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unknown",
    [
        ["a"],
        ["c", "a"],
        ["it's"],
        ['"quoted"', "it's", "both'\""],
        ["back\\slash", "\\", "\\n", "c:\\new"],
        ["ünïcödé", "客户", "😀", "e\u0301"],
        ["]", "['", "']", "[x]", "a']", "x'y"],
        ["__import__('os')", "None", "1"],
    ],
    ids=str,
)
def test_the_ids_that_tms_names_are_told_from_the_others_in_the_order_sent(unknown):
    sent = ("b", *sorted(unknown), "d")
    assert find_repair(refusal(*unknown), sent) == Repair(tuple(sorted(unknown)), ("b", "d"))
    assert find_repair(f"Error: {refusal(*unknown)}, sorry", sent) is not None


def test_ids_that_were_never_sent_are_left_aside():
    assert find_repair(refusal("a", "z", "A"), ("a", "b")) == Repair(("a",), ("b",))
    assert find_repair(refusal("z", "A", "a "), ("a", "b")) is None


def test_when_all_are_unknown_none_is_left():
    assert find_repair(refusal("b", "a"), ("a", "b")) == Repair(("a", "b"), ())


@pytest.mark.parametrize("known", [0, 1, 13_000])
def test_a_whole_fleet_is_told_apart(known):
    assert find_repair(refusal(*reversed(MANY[known:])), MANY) == Repair(MANY[known:], MANY[:known])


@pytest.mark.parametrize(
    "message",
    [
        "",
        "TMS bootstrap status(INIT) is not Ready",
        "those CIDs ['a', 'b",
        "those CIDs ['a', 'b'",
        "those CIDs ['a', 'b']",
        "those CIDs ['a', 'b'] do not exi",
        "those CIDs ['a, 'b'] do not exist",
        "those CIDs 'a' do not exist",
        "those CIDs a do not exist",
        "those CIDs [] do not exist",
        "those CIDs [a, b] do not exist",
        "those CIDs [1, 2.5, None, True] do not exist",
        "those CIDs [['a']] do not exist",
        "those CIDs [{'a': 'b'}] do not exist",
        "those CIDs [{[]}] do not exist",
        "those CIDs [{[]: 1}] do not exist",
        "those CIDs [b'a'] do not exist",
        "those CIDs [f'a'] do not exist",
        "those CIDs [__import__('os')] do not exist",
        "those CIDs ['a'.upper()] do not exist",
        "those CIDs ['a'] + ['b'] do not exist",
        "those CIDs ['a' for x in 'b'] do not exist",
        "those CIDs [" + "[" * 100_000 + "]" * 100_000 + "] do not exist",
        "those CIDs [" + "(" * 100_000 + "] do not exist",
        "those CIDs [" + "-" * 100_000 + "1] do not exist",
        "those CIDs [" + "1+" * 100_000 + "1] do not exist",
        "those CIDs [" + "9" * 100_000 + "] do not exist",
        "those CIDs ['\\N{no such name}', '\\x'] do not exist",
    ],
    ids=lambda message: message[:60],
)
def test_what_is_cut_short_or_is_no_list_of_names_names_nothing(message):
    assert find_repair(message, ("a", "b")) is None


@pytest.mark.parametrize(
    "message",
    [
        "those CIDs [" * 80_000,
        "those CIDs ['a'" + "]" * 500_000,
        "those CIDs [" + "'a' " * 200_000 + "] do not exist",
        "those CIDs ['" + r"\'" * 200_000 + "] do not exist",
    ],
    ids=["beginnings", "ends", "names", "a name without end"],
)
def test_a_long_message_that_makes_no_sense_is_given_up_soon(message):
    with done_within(GUARD_S):
        assert find_repair(message, ("a", "b")) is None


# -- On the attempt's page ----------------------------------------------------------------------------------------


@pytest.fixture
def operator(olivia):
    return signed_in(olivia)


@pytest.fixture
def refused(fetch, tms, monkeypatch):
    """olivia sends a list of which TMS does not know some ids."""

    def send_in_vain(cids, unknown, **values):
        message = refusal(*unknown) if isinstance(unknown, list | tuple) else unknown
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Fleet, "set_action", lambda *_: {"message": message, "success": False})
            return send(fetch, *cids, confirm=len(cids), **values)

    return send_in_vain


def path(attempt, place=""):
    return f"/attempts/{attempt.attempt_id}/{place}"


def test_the_page_tells_how_many_of_how_many_tms_does_not_know(refused, operator):
    attempt = refused([f"c{number}" for number in range(1500)], [f"c{number}" for number in range(0, 1500, 10)])
    page = text_of(operator.get(path(attempt)))
    assert "TMS does not know 150 of 1,500 ids" in page
    assert "nothing was applied to the other 1,350 either" in page
    assert "Review again without these 150" in page
    assert "These are the first 100; the file has all of them." in page
    listed = re.search(r'<ul class="ids listed".*?</ul>', operator.get(path(attempt)).content.decode(), re.DOTALL)[0]
    assert re.findall("<li>(.*?)</li>", listed) == [f"c{number}" for number in range(0, 1000, 10)]


def test_going_on_without_them_is_a_new_attempt_that_is_reviewed_and_asks_for_the_token(refused, operator, tms):
    attempt = refused(["d4", "a1", "x", "B2"], ["x"], action="Trans-Begin")
    review = operator.post(path(attempt, "repair/"), follow=True)
    assert review.status_code == 200
    for fact in ("Review before sending", "Trans-Begin", "evian3", "d4", "a1", "B2", "Bearer token"):
        assert fact in text_of(review)
    assert len(tms.calls()) == 1
    asked = press(operator, "send/", hidden_fields(review))
    assert asked.status_code == 400
    sent = press(operator, "send/", hidden_fields(review) | {"token": TOKEN})
    job = Job.objects.get()
    assert sent.url == f"/attempts/{job.job_id}/"
    assert job.job_id != attempt.attempt_id
    assert tms.calls()[-1].cids == ("d4", "a1", "B2")
    assert tms.calls()[-1].action == "Trans-Begin"
    assert Attempt.objects.get(pk=attempt.pk).outcome == Outcome.REJECTED


def test_each_press_makes_an_attempt_of_its_own(refused, operator, tms):
    attempt = refused(["a1", "x"], ["x"])
    reviews = [hidden_fields(operator.post(path(attempt, "repair/"), follow=True)) for _ in range(2)]
    assert press(operator, "send/", reviews[0] | {"token": TOKEN}).status_code == 302
    named = press(operator, "send/", reviews[1] | {"token": TOKEN})
    assert press(operator, "send/", hidden_fields(named) | {"token": TOKEN, "send_again": "1"}).status_code == 302
    assert Job.objects.count() == 2


def test_a_spelling_of_the_action_is_kept(refused, operator, tms):
    attempt = refused(["a1", "x"], ["x"], action="pe-ENABLE")
    proceed(operator, operator.post(path(attempt, "repair/"), follow=True), token=TOKEN)
    assert tms.calls()[-1].action == "pe-ENABLE"


def test_when_all_are_unknown_there_is_nothing_to_go_on_with(refused, operator):
    attempt = refused(["a1", "b2"], ["b2", "a1"])
    page = operator.get(path(attempt))
    assert "TMS does not know 2 of 2 ids" in text_of(page)
    assert "Is it the right cluster?" in text_of(page)
    assert b"/repair/" not in page.content
    assert b"known.csv" not in page.content.replace(b"unknown.csv", b"")
    assert operator.post(path(attempt, "repair/")).url == path(attempt)


@pytest.mark.parametrize("message", ["those CIDs [{[]}] do not exist", refusal("z"), "those CIDs ['a1', 'b", "No."])
def test_a_message_that_names_no_sent_id_is_shown_and_repairs_nothing(refused, operator, message):
    attempt = refused(["a1", "b2"], message)
    page = operator.get(path(attempt))
    assert page.status_code == 200
    assert message in text_of(page)
    assert b"/repair/" not in page.content
    assert operator.get(path(attempt, "unknown.csv")).status_code == 404
    assert operator.post(path(attempt, "repair/")).url == path(attempt)


def test_a_whole_fleet_can_be_repaired(refused, operator, settings):
    settings.TMS_MAX_CIDS_PER_CALL = 30_000
    attempt = refused(MANY, MANY[1:])
    page = operator.get(path(attempt))
    assert "TMS does not know 26,999 of 27,000 ids" in text_of(page)
    assert read_list(operator.get(path(attempt, "unknown.csv")).content).cids == MANY[1:]
    review = text_of(operator.post(path(attempt, "repair/"), follow=True))
    assert MANY[0] in review
    assert MANY[1] not in review


# -- As files -----------------------------------------------------------------------------------------------------

ODD = (
    "=1+1",
    "+1",
    "-1",
    "@x",
    "＝1+1",
    "'=1",
    "''=1",
    "'a",
    '"q"',
    "it's",
    'a"b',
    "客户",
    "7.39E+12",
    "a\\b",
    "id",
    "-",
    "customer_id",
)


def test_both_parts_come_as_files_that_can_be_uploaded_again(refused, operator):
    attempt = refused((*ODD, "k"), ODD[::2], allowUnusual=True)
    for which, cids in (("unknown", ODD[::2]), ("known", (*ODD[1::2], "k")), ("all", (*ODD, "k"))):
        file = operator.get(path(attempt, f"{which}.csv"))
        assert file["Content-Type"] == "text/csv; charset=utf-8"
        assert file["Content-Disposition"] == f'attachment; filename="{which}-ids-{attempt.attempt_id}.csv"'
        assert read_list(file.content, allow_unusual=True).cids == cids
        assert not re.search(
            r'^"?[=+@＝-]', file.content.decode(), re.MULTILINE
        )  # nothing that a spreadsheet calculates


# -- Who may, and for which attempts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sees", "repairs"),
    [
        ("olivia", 200, 303),
        ("oscar", 404, 404),
        ("audrey", 200, 403),
        ("adam", 200, 403),
        ("olivia, an auditor", 200, 403),
    ],
)
def test_only_its_owner_who_may_send_repairs_a_list(request, refused, tms, name, sees, repairs):
    attempt, user = refused(["a1", "x"], ["x"]), request.getfixturevalue(name.partition(",")[0])
    if "auditor" in name:
        user.groups.add(Group.objects.get(name="Auditors"))
    client = signed_in(user)
    for place in ("", "unknown.csv", "known.csv", "all.csv"):
        assert client.get(path(attempt, place)).status_code == sees
    assert (b"/repair/" in client.get(path(attempt)).content) == (repairs == 303)
    answer = client.post(path(attempt, "repair/"))
    assert answer.status_code == repairs
    assert ("Location" in answer) == (repairs == 303)
    assert len(tms.calls()) == 1


def test_who_has_no_csrf_token_repairs_nothing(refused, olivia):
    attempt = refused(["a1", "x"], ["x"])
    assert signed_in(olivia, enforce_csrf_checks=True).post(path(attempt, "repair/")).status_code == 403


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.UNKNOWN, Kind.NOT_SENT, Kind.NOT_APPLIED])
def test_only_a_rejected_list_is_repaired_whatever_the_message_says(operator, tms, kind):
    body = {"action_sent": "PE-Enable", "batch_id": None}
    attempt = make_attempt(kind, message=refusal("a1"), cluster_url=tms.url, body=body)
    assert b"/repair/" not in operator.get(path(attempt)).content
    assert operator.get(path(attempt, "known.csv")).status_code == 404
    assert operator.post(path(attempt, "repair/")).url == path(attempt)


def test_a_list_of_a_cluster_that_is_gone_is_not_repaired(refused, operator, settings):
    attempt = refused(["a1", "x"], ["x"])
    settings.TMS_CLUSTERS = {}
    assert operator.post(path(attempt, "repair/")).url == path(attempt)
