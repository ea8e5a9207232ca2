"""A warning where customers of an attempt without an outcome get another action: it spoils what readings prove."""

import pytest

from audit.choices import Action, Kind
from audit.tests.making import make_attempt
from jobs.models import Job
from setactions.pages.tests.test_new_action import hidden_fields, press
from setactions.resolving.tests.doubting import LOST_BEFORE, send, send_and_die
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing, text_of

pytestmark = pytest.mark.usefixtures("databases", "tms")
HEADING = "Other attempts on these customers are open"
USUAL = [f"{number:032x}" for number in range(5)]  # ids that nothing else is warned about


@pytest.fixture
def review(olivia):
    """The review page of T-Enable for some customers, by default."""

    def post(cids, action="T-Enable", cluster="evian3"):
        data = {"cluster": cluster, "action": action, "token": TOKEN, "cids": "\n".join(cids)}
        return signed_in(olivia).post("/review/", data, follow=True)

    return post


def warnings_of(fetch, cids, **values):
    answer = fetch(cids=cids, **({"sendAgain": True, "action": "T-Enable"} | values))
    assert answer.status_code == 200
    return answer.json().get("warnings", [])


def sentence(attempt):
    return (
        f"{attempt.action_name} of {attempt.user_id} for some of these customers has no outcome yet "
        f"(attempt {attempt.attempt_id}). Sending now can make it impossible to find out what became of it."
    )


@pytest.mark.parametrize("state", ["lost", "running"])
@pytest.mark.parametrize("action", ["PE-Finalize", "T-Enable"])
def test_form_and_script_are_warned_and_may_go_on(fetch, review, olivia, tms, state, action):
    if state == "lost":
        attempt = send(fetch, *USUAL[:2], token=LOST_BEFORE)
    else:
        attempt = send_and_die(fetch, "service: intent in the audit", *USUAL[:2])
    page = review(USUAL[1:3], action=action)
    assert HEADING in text_of(page)
    assert sentence(attempt) in text_of(page)
    assert "send_again" not in page.content.decode()  # a warning, not a guard
    assert press(signed_in(olivia), "send/", hidden_fields(page) | {"token": TOKEN}).status_code == 302
    assert warnings_of(fetch, USUAL[1:3], action=action) == [sentence(attempt)]
    assert Job.objects.count() == 2


def test_the_same_customers_with_another_action_are_an_overlap(fetch, review):
    attempt = send(fetch, *USUAL, token=LOST_BEFORE)
    assert sentence(attempt) in text_of(review(USUAL))


def test_a_warning_names_another_users_attempt_too(fetch, review, oscar):
    attempt = send(fetch, *USUAL, token=LOST_BEFORE, client=signed_in(oscar))
    assert "PE-Enable of oscar" in text_of(review(USUAL[:1]))
    assert warnings_of(fetch, USUAL[:1]) == [sentence(attempt)]


def test_besides_it_what_is_unusual_about_ids_is_said_as_ever(fetch):
    attempt = send(fetch, "odd", token=LOST_BEFORE)
    found = warnings_of(fetch, ["odd", *USUAL])
    assert found == ["1 id looks unusual for a customer id: odd.", sentence(attempt)]


@pytest.mark.parametrize("kind", [Kind.ACCEPTED, Kind.REJECTED, Kind.NOT_SENT, Kind.APPLIED, Kind.NOT_APPLIED])
def test_attempts_with_an_outcome_are_not_warned_about_even_if_their_job_is_owed(fetch, review, tms, kind):
    make_attempt(Kind.UNKNOWN, kind, cids=USUAL[:3], cluster_url=tms.url)
    assert HEADING not in text_of(review(USUAL[1:4]))
    assert warnings_of(fetch, USUAL[1:4]) == []


def test_attempts_on_other_clusters_and_of_other_customers_are_not_warned_about(fetch, review, tms):
    make_attempt(Kind.UNKNOWN, cids=USUAL, cluster_url="http://127.0.0.1:2")
    make_attempt(Kind.UNKNOWN, cids=[USUAL[0].upper() + "x", USUAL[0][:-1], "ALL"], cluster_url=tms.url)
    assert HEADING not in text_of(review(USUAL))
    assert warnings_of(fetch, USUAL) == []


def test_the_same_action_is_guarded_on_its_own_and_not_warned_about_besides(fetch, review):
    attempt = send(fetch, *USUAL, token=LOST_BEFORE)
    page = review(reversed(USUAL), action="PE-Enable")
    assert HEADING not in text_of(page)
    assert str(attempt.attempt_id) in page.content.decode()
    assert "send_again" in page.content.decode()
    refused = fetch(cids=USUAL)
    assert (refused.status_code, refused.json()["duplicate_of"]) == (409, str(attempt.attempt_id))
    assert warnings_of(fetch, USUAL, action="PE-Enable") == []


def test_ones_own_attempt_is_no_overlap_of_itself_when_it_is_asked_for_again(fetch):
    attempt = send(fetch, *USUAL, token=LOST_BEFORE)
    assert "warnings" not in fetch(cids=USUAL, key=attempt.attempt_id).json()


def test_several_are_named_oldest_first_and_counted_from_the_sixth_on(fetch, review, tms):
    attempts = [
        make_attempt(Kind.UNKNOWN, cids=[USUAL[0], f"x{number}"], cluster_url=tms.url, action=Action.PE_DIRECT)
        for number in range(8)
    ]
    found = warnings_of(fetch, USUAL[:1])
    assert found == [*map(sentence, attempts[:5]), "There are more such attempts: 3."]
    assert all(one in text_of(review(USUAL[:1])) for one in found)


@pytest.mark.parametrize("place", [0, 499, 500, 4999])
def test_one_of_five_thousand_customers_is_found_wherever_it_stands(fetch, review, place):
    cids = [f"{number:032x}" for number in range(5000)]
    attempt = send(fetch, "other", cids[place], token=LOST_BEFORE)
    assert sentence(attempt) in text_of(review(cids))
    assert warnings_of(fetch, cids, confirm=5000) == [sentence(attempt)]


def test_without_the_audit_the_review_page_appears_all_the_same(review):
    with table_missing("audit", "audit_attempt"):
        page = review(USUAL)
    assert page.status_code == 200
    assert HEADING not in text_of(page)
