"""The way of an operator: sign in, form, review, send, result, and back to the job later."""

import re
import uuid
from html import unescape

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from audit.models import Attempt, AuditEntry
from jobs.models import Job
from jobs.reviews import signed_review
from setactions.pages.sealing import load_review
from tmsdash.tests.fixtures import PASSWORD, TOKEN, signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.pages
AT = "the page's address"


@pytest.fixture
def operator(olivia):
    return signed_in(olivia)


def fill_in(client, *, csv=None, **changes):
    data = {"cluster": "evian3", "action": "PE-Enable", "token": TOKEN, "cids": "a1, b2"} | changes
    if csv is not None:
        data["csv_file"] = SimpleUploadedFile("customers.csv", csv)
    return client.post("/review/", data, follow=True)


def hidden_fields(page):
    """The hidden inputs of a page's form, as a browser would send them, and the page's address, for `press`."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode())
    return {name: unescape(value) for name, value in fields} | {AT: page.request["PATH_INFO"]}


def press(client, step, fields):
    """Press a button of a review's page; returns the page that it leads to, or the way to what it became."""
    return led_on(client, client.post(fields[AT] + step, {name: value for name, value in fields.items() if name != AT}))


def led_on(client, answer):
    """The page of a review that an answer leads to, or the answer."""
    return client.get(answer.url) if answer.get("Location", "").startswith("/review/") else answer


def review_on(page, user_id="olivia"):
    """The review that a page shows."""
    return load_review(signed_review(page.request["PATH_INFO"].split("/")[2], user_id), user_id)


def without_token(client):
    """Let a client's browser forget the tokens of its reviews."""
    for name in [name for name in client.cookies if name.startswith("review_token")]:
        del client.cookies[name]


def proceed(client, page, **extra):
    return press(client, "send/", hidden_fields(page) | extra)


def test_an_operator_signs_in_sends_and_finds_the_job_again(client, tms, olivia):
    assert client.get("/").url == "/login/?next=/"
    assert client.post("/login/?next=/", {"username": "olivia", "password": PASSWORD}).url == "/"
    form = text_of(client.get("/"))
    for label in ("Cluster", "Action", "Bearer token", "Customer IDs", "CSV file", "Set Action"):
        assert label in form

    review = fill_in(client, cids="zebra\nyak\nzebra")
    assert tms.calls() == []
    assert not Attempt.objects.exists()
    for fact in ("PE-Enable", "evian3", "zebra", "yak", "Yes, Proceed", "Cancel"):
        assert fact in text_of(review)

    sent = proceed(client, review)
    job = Job.objects.get()
    assert sent.url == f"/attempts/{job.job_id}/"
    result = client.get(sent.url)
    assert str(job.job_id) in text_of(result)
    assert f'href="/jobs/{job.job_id}/"' in result.content.decode()
    assert str(job.job_id) in text_of(client.get("/jobs/"))
    detail = text_of(client.get(f"/jobs/{job.job_id}/"))
    assert detail.index("zebra") < detail.index("yak")
    assert client.post("/logout/").url == "/login/"
    assert client.get("/jobs/").status_code == 302


def test_a_csv_file_can_be_uploaded_instead(operator, tms):
    review = fill_in(operator, cids="", csv=b"name;customer_id\r\nx;a1\r\ny;b2\r\n")
    proceed(operator, review)
    assert list(Job.objects.get().customers.order_by("position").values_list("cid", flat=True)) == ["a1", "b2"]
    assert fill_in(operator, csv=b"a1").status_code == 400  # both given: which one is meant?


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": ""}, "This field is required"),
        ({"cluster": "elsewhere"}, "Select one of the available choices"),
        ({"action": "PE-Disable"}, "Select one of the available choices"),
        ({"token": ""}, "Enter your bearer token"),
        ({"token": "two words"}, "a space within the token"),
        ({"token": "tökén"}, "visible ASCII"),
        ({"cids": ""}, "at least one"),
        (
            {"cids": "a1\nb 2\nc\u200b3"},
            "Lines 2 and 3: The customer id holds space (U+0020) or zero width space (U+200B)",
        ),
        ({"cids": "", "csv": b"PK\x03\x04\xff"}, "workbook"),
    ],
)
def test_bad_input_comes_back_with_a_sentence_and_everything_but_the_token(operator, tms, changes, words):
    page = fill_in(operator, **changes)
    assert page.status_code == 400
    assert words in text_of(page)
    if changes.get("cids", "x").strip():
        assert changes.get("cids", "a1, b2").split("\n")[0] in page.content.decode()
    assert TOKEN not in page.content.decode()
    assert tms.calls() == []


def test_more_ids_than_one_call_takes_become_a_batch(operator, settings):
    settings.TMS_MAX_CIDS_PER_CALL = 2
    assert "This runs as a batch" not in text_of(fill_in(operator, cids="a,b,b"))
    assert "This runs as a batch" in text_of(fill_in(operator, cids="a,b,c"))


def test_more_ids_than_one_call_takes_are_never_sent_in_one(operator, tms, settings):
    page = fill_in(operator, cids="a,b,c")
    settings.TMS_MAX_CIDS_PER_CALL = 2
    answer = press(operator, "send/", hidden_fields(page))
    assert (answer.status_code, tms.calls()) == (413, [])
    assert "Use batches" in text_of(answer)


def test_the_review_page_shows_both_ends_of_the_list_what_was_removed_and_what_is_unusual(operator, tms):
    cids = [f"{number:032x}" for number in range(300)]
    page = text_of(fill_in(operator, cids="\n".join([*cids, "7.39E+12", cids[0], cids[1]]), allow_unusual="1"))
    shown = [cid for cid in cids if cid in page]
    assert shown == cids[:10] + cids[-9:]
    assert "301" in page
    assert re.search(r"\b2 repeat", page)
    assert "1 id looks damaged (a number as spreadsheets write it, such as 1.23E+11): 7.39E+12." in page


def test_the_focus_is_at_the_top_and_enter_proceeds(operator, tms):
    html = fill_in(operator).content.decode()
    assert re.findall(r"<(\w+)[^>]* autofocus", html) == ["h1"]
    form = html[html.index('<form method="post" action="/review/') :]
    first = re.search(r"<button[^>]*>", form)[0]  # which Enter presses in any field of the form
    assert "formaction" not in first
    assert re.match(r'<form method="post" action="/review/[0-9a-f-]{36}/send/">', form)
    assert html.index(">Cancel") < html.index("Yes, Proceed")


def test_cancel_leads_back_to_the_form_with_everything_but_the_token(operator, tms):
    page = press(operator, "edit/", hidden_fields(fill_in(operator, cids="a1,b2", action="T-Enable")))
    html = page.content.decode()
    assert "a1\nb2" in html
    assert re.search(r'value="T-Enable"\s+selected', html)
    assert TOKEN not in html
    assert tms.calls() == []


def test_what_is_sent_is_what_was_reviewed(operator, tms, oscar):
    review = fill_in(operator)
    proceed(operator, review, cids="c3", action="PE-Direct", cluster="brooke")
    assert tms.calls()[0].cids == ("a1", "b2")
    assert signed_in(oscar).post(hidden_fields(review)[AT] + "send/").status_code == 404
    assert len(tms.calls()) == 1


def test_without_an_audit_the_list_comes_back_with_nothing_sent(operator, tms):
    review = fill_in(operator)
    with table_missing("audit", "audit_attempt"):
        page = proceed(operator, review)
        assert page.status_code == 503
        assert "nothing was sent" in text_of(page)
    assert tms.calls() == []
    assert proceed(operator, page).status_code == 302


def test_an_auditor_who_might_send_otherwise_is_not_offered_to(tms, adam, audrey):
    adam.groups.set(audrey.groups.all())
    assert "New action" not in text_of(signed_in(adam).get("/jobs/"))


def test_the_same_form_again_shows_the_same_attempt(operator, tms):
    review = fill_in(operator)
    assert proceed(operator, review).url == proceed(operator, review).url
    assert len(tms.calls()) == 1


def test_the_same_list_again_needs_a_tick(operator, tms):
    first = proceed(operator, fill_in(operator)).url
    review = fill_in(operator, cids="b2,a1")
    assert first in review.content.decode()
    assert 'name="send_again"' in review.content.decode()
    refused = proceed(operator, review)
    assert refused.status_code == 409
    assert len(tms.calls()) == 1
    proceed(operator, refused, send_again="1")
    assert len(tms.calls()) == Job.objects.count() == 2
    assert '"send_again":true' in AuditEntry.objects.filter(kind="INTENT").first().body


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("not-ready", ["Rejected", "still starting", "TMS bootstrap status(INIT) is not Ready"]),
        ("unknown-ids", ["Rejected", "those CIDs ['a1'] do not exist", "Correct or remove these ids"]),
        ("unauthorized", ["Rejected", "Get a new one"]),
        ("http:404", ["Rejected", "TMS_CLUSTERS"]),
        ("http:429", ["Rejected", "Wait a minute"]),
        ("http:500", ["Outcome unknown", "Do not send the list again"]),
        ("reset-after", ["Outcome unknown", "Do not send the list again"]),
    ],
)
def test_each_outcome_is_told_with_the_next_step(operator, tms, fault, words):
    sent = proceed(operator, fill_in(operator, token=f"fault:{fault}"))
    page = operator.get(sent.url)
    assert page.status_code == 200
    for word in words:
        assert word in text_of(page)
    assert not Job.objects.exists()


def test_what_could_not_be_reached_may_be_sent_again(operator, tms):
    page = operator.get(proceed(operator, fill_in(operator, cluster="brooke")).url)
    assert "Not sent" in text_of(page)
    assert "you may send it again" in text_of(page)


@pytest.mark.parametrize("fault", ["fault:not-ready", "fault:unauthorized"])
def test_a_list_that_was_sent_in_vain_can_be_edited_and_sent_again(operator, tms, audrey, fault):
    attempt = proceed(operator, fill_in(operator, token=fault, action="Trans-Begin")).url
    assert f'action="{attempt}edit/"' in operator.get(attempt).content.decode()
    form = operator.post(f"{attempt}edit/", follow=True).content.decode()
    assert "a1\nb2" in form
    assert re.search(r'value="Trans-Begin"\s+selected', form)
    assert "edit/" not in signed_in(audrey).get(attempt).content.decode()  # to look at, not to send


@pytest.mark.parametrize("token", [TOKEN, "fault:http:500"])
def test_what_may_have_been_applied_is_not_offered_for_sending_again(operator, tms, token):
    page = operator.get(proceed(operator, fill_in(operator, token=token)).url)
    assert "edit/" not in page.content.decode()


def test_tms_cannot_reverse_or_hide_text_on_a_page(operator, tms):
    page = operator.get(proceed(operator, fill_in(operator, token="fault:extra-accepted")).url).content.decode()
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u202e" in page


def test_while_a_call_runs_its_page_looks_again_by_itself(operator, tms):
    attempt = str(proceed(operator, fill_in(operator, token="fault:not-ready")).url)
    assert "http-equiv" not in operator.get(attempt).content.decode()
    Attempt.objects.update(outcome="pending", is_open=True)
    page = operator.get(attempt).content.decode()
    assert 'http-equiv="refresh"' in page


def test_a_refusal_on_sending_brings_the_review_page_back(operator, tms, settings):
    review = fill_in(operator)
    settings.TMS_PASSIVE = True
    back = proceed(operator, review)
    assert back.status_code == 503
    assert "passive mode" in text_of(back)
    settings.TMS_PASSIVE = False
    assert proceed(operator, back).status_code == 302
    refused = Attempt.objects.get(outcome="refused")
    assert "passive mode" in text_of(operator.get(f"/attempts/{refused.attempt_id}/"))


def test_attempts_and_jobs_are_their_owners_and_auditors_only(operator, tms, oscar, audrey):
    attempt = proceed(operator, fill_in(operator)).url
    job = attempt.replace("attempts", "jobs")
    for path in (attempt, job):
        assert operator.get(path).status_code == 200
        assert signed_in(audrey).get(path).status_code == 200
        assert signed_in(oscar).get(path).status_code == 404
    assert operator.get(f"/attempts/{uuid.uuid4()}/").status_code == 404


def test_an_auditor_may_look_and_not_send(tms, audrey, operator):
    auditor = signed_in(audrey)
    assert auditor.get("/").url == "/admin/jobs/job/"
    assert fill_in(auditor).status_code == 403
    assert tms.calls() == []


def test_hostile_text_is_inert_on_every_page(tms, adam):
    client = signed_in(adam)
    hostile = "<script>alert(1)</script>"
    review = fill_in(client, cids=hostile, token="fault:extra-accepted", allow_unusual="1")
    attempt = proceed(client, review).url
    for page in (review, client.get(attempt), client.get(attempt.replace("attempts", "jobs")), client.get("/jobs/")):
        assert page.status_code == 200
        assert "<script>" not in page.content.decode()


def test_the_page_of_an_attempt_carries_the_anchor_of_its_newest_entry(fetch, olivia):
    attempt_id = fetch().json()["attempt_id"]
    page = signed_in(olivia).get(f"/attempts/{attempt_id}/").content.decode()
    entry = AuditEntry.objects.get(attempt_id=attempt_id, kind="RECORDED")
    assert f"<code>{entry.sequence}:{entry.mac[:16]}</code>" in page
