"""The page of a customer: everything that was asked for it, and no more of colleagues' attempts than one may see."""

import re

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse

from audit.choices import Action, Kind
from audit.models import Attempt, AttemptCustomer
from audit.tests.making import make_attempt, refuse
from setactions.pages.customers import ATTEMPTS_PER_PAGE
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")


def page(client, cid, **query):
    answer = client.get(reverse("customer", args=[cid]), query)
    assert answer.status_code == 200
    return answer


def links(answer):
    """The attempts that a page leads to, in order."""
    return re.findall('href="/attempts/([0-9a-f-]{36})/"', answer.content.decode())


@pytest.fixture
def asked(databases):
    """Four attempts on c1, and one on another customer."""
    accepted = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("c1", "c2"))
    rejected = make_attempt(
        Kind.REJECTED, cids=("c1",), user_id="oscar", message="not <b>Ready", action=Action.T_ENABLE
    )
    unknown = make_attempt(Kind.UNKNOWN, cids=("c1",), message="lost", http_status=None)
    refused = refuse(cids=("c1",), user_id="oscar", message="Repeated.")
    make_attempt(Kind.ACCEPTED, cids=("C1",))
    return [refused, unknown, rejected, accepted]


def test_an_auditor_sees_everything_that_was_asked_newest_first(asked, audrey):
    answer = page(signed_in(audrey), "c1")
    assert links(answer) == [str(attempt.attempt_id) for attempt in asked]
    text = text_of(answer)
    for fact in (
        "Refused",
        "Outcome unknown",
        "Rejected by TMS",
        "Accepted",
        "not <b>Ready",
        "oscar",
        "olivia",
        "T-Enable",
    ):
        assert fact in text
    assert f'href="/jobs/{asked[3].attempt_id}/"' in answer.content.decode()
    assert b"<b>Ready" not in answer.content


def test_an_operator_sees_of_colleagues_who_did_what_and_when_only(asked, olivia):
    answer = page(signed_in(olivia), "c1")
    assert links(answer) == [str(attempt.attempt_id) for attempt in (asked[1], asked[3])]
    text = text_of(answer)
    assert "oscar" in text
    assert "Rejected by TMS" in text
    for hidden in ("not <b>Ready", "Repeated.", str(asked[0].attempt_id), str(asked[2].attempt_id), "203.0.113.7"):
        assert hidden not in text


def test_others_see_nothing(asked, olivia):
    olivia.groups.clear()
    for path in ("/customers/", "/customers/c1/"):
        assert signed_in(olivia).get(path).status_code == 403
    assert b'href="/customers/"' not in signed_in(olivia).get("/jobs/").content
    olivia.groups.add(Group.objects.get(name="Operators"))
    assert b'href="/customers/"' in signed_in(olivia).get("/jobs/").content


@pytest.mark.parametrize("cid", ["c1", "a/b", "a b", "50%", "?x=1", "#", "ä", "..", "a//b", "<b>", "x" * 128])
def test_any_id_has_its_page_and_is_found_by_the_search(olivia, cid):
    attempt = make_attempt(Kind.ACCEPTED, cids=(cid,))
    client = signed_in(olivia)
    answer = client.get("/customers/", {"cid": f" {cid} "})
    assert answer.status_code == 302
    found = client.get(answer["Location"])
    if found.status_code != 200:  # the test client resolves dots in a path, as browsers do
        assert cid == ".."
        return
    assert links(found) == [str(attempt.attempt_id)]


def test_an_id_that_nobody_asked_for_says_so(asked, olivia):
    assert "Nothing was ever requested for this customer here." in text_of(page(signed_in(olivia), "c11"))


def test_a_search_for_too_long_an_id_is_told(olivia):
    answer = signed_in(olivia).get("/customers/", {"cid": "x" * 129})
    assert answer.status_code == 400
    assert "at most 128 characters" in text_of(answer)
    assert signed_in(olivia).get("/customers/", {"cid": " "}).status_code == 200


def test_many_attempts_come_in_pages(audrey):
    for _ in range(ATTEMPTS_PER_PAGE + 3):
        refuse(cids=("c1",))
    client = signed_in(audrey)
    first = page(client, "c1")
    [older] = re.findall(r'href="/customers/c1/\?before=([0-9]+)"', first.content.decode())
    second = page(client, "c1", before=older)
    ids = [str(attempt.attempt_id) for attempt in Attempt.objects.order_by("-pk")]
    assert links(first) + links(second) == ids
    assert "before=" not in second.content.decode()
    last = AttemptCustomer.objects.order_by("attempt_id").first()
    assert "There is nothing older." in text_of(page(client, "c1", before=last.pk))
    for nonsense in ("x", "-1", "9" * 40, "1e3", 2**63):
        assert links(page(client, "c1", before=nonsense)) == ids[:ATTEMPTS_PER_PAGE]
