"""What TMS showed last of a customer, on its page and in the search for several."""

import re

import pytest

from audit.choices import Action, Kind
from audit.tests.making import make_attempt
from jobs.live.states import states_of
from jobs.models import LiveReading
from setactions.live.reading import read_whole
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import counted_queries, stored_bytes, text_of

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def client(olivia, tms):
    return signed_in(olivia)


def read(client, cid="a1", cluster="evian3", token=TOKEN):
    return client.post("/read-customer/", {"cid": cid, "cluster": cluster, "token": token})


def search(client, text):
    return client.get("/customers/", {"cid": text})


def lines(answer):
    """What is said of each customer, by its id."""
    body = answer.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    texts = [re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", row)).strip() for row in body.split("</tr>") if row.strip()]
    return {text.split()[0]: text for text in texts}


def test_the_page_shows_the_state_on_each_cluster_where_it_is_known_with_its_age_and_source(client, tms):
    page = text_of(client.get("/customers/a1/"))
    assert "Not read yet." in page
    tms_does(tms, "T-Enable", "a1")
    answer = read(client)
    assert answer["Location"] == "/customers/a1/"
    page = text_of(client.get("/customers/a1/"))
    assert re.search(r"evian3 T-Enable [\d: -]+ UTC \(.*\) read from TMS for olivia", page)
    assert "brooke T-Enable" not in page
    assert reads(tms) == [("a1",)]
    assert TOKEN.encode() not in stored_bytes()


def test_a_customer_whom_tms_does_not_list_is_not_known_there(client, tms):
    tms_does(tms, "T-Enable", "b2")
    read(client)
    assert re.search(r"evian3 not known to TMS", text_of(client.get("/customers/a1/")))


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"token": "fault:http:500"}, 502, "Nothing was read evian3 could not be read"),
        ({"token": "fault:unauthorized"}, 502, "Use a token that is valid there."),
        ({"token": ""}, 400, "Enter your bearer token for this cluster."),
        ({"token": "with blanks"}, 400, "There is a space within the token"),
        ({"cluster": "elsewhere"}, 400, "Choose a cluster."),
        ({"cluster": "brooke"}, 502, "brooke could not be read"),
        ({"cid": ""}, 400, "Give the id of one customer."),
        ({"cid": "a1,b2"}, 400, "Give the id of one customer."),
    ],
)
def test_a_reading_that_fails_says_why_and_shows_no_state(client, fields, status, sentence):
    answer = read(client, **fields)
    assert answer.status_code == status
    assert sentence in text_of(answer)
    assert not LiveReading.objects.filter(problem="").exists()


def test_whoever_may_not_send_may_not_read(audrey, tms):
    assert read(signed_in(audrey)).status_code == 403
    assert b'name="token"' not in signed_in(audrey).get("/customers/a1/").content
    assert reads(tms) == []


@pytest.mark.parametrize("separator", ["\n", " ", ", ", ";", "\t", "\r\n"])
def test_of_several_ids_each_is_looked_up(client, tms, separator):
    make_attempt(Kind.ACCEPTED, cids=("cust1", "other9"))
    make_attempt(Kind.REJECTED, cids=("cust1",), user_id="oscar", action=Action.T_ENABLE)
    tms_does(tms, "PE-Direct", "cust2")
    read_whole(cluster_named("evian3"), Token(TOKEN), "oscar")
    shown = lines(search(client, separator.join(["cust2", "cust1", "cust3"])))
    assert list(shown) == ["cust2", "cust1", "cust3"]
    assert re.search("Rejected by TMS T-Enable by oscar, .* not known to TMS on evian3 ,", shown["cust1"])
    assert re.search(
        "Nothing was ever asked for. PE-Direct on evian3 , read from TMS for oscar, .* UTC", shown["cust2"]
    )
    assert re.search("Nothing was ever asked for. not known to TMS on evian3 ,", shown["cust3"])


@pytest.mark.parametrize("text", ["cust1,cust2 nosuch", "a,b c", "7;b,  c", "cust1 ,cust2,nosuch"])
def test_ids_in_one_line_may_be_separated_by_several_kinds_at_once(client, text):
    assert list(lines(search(client, text))) == re.findall(r"\w+", text)


def test_nothing_is_said_of_what_was_not_searched(client):
    many = " ".join(f"cust{number}" for number in range(101))
    for text in (many, "cust1, " + "x" * 129, "cust1, \u202ecust2"):
        answer = search(client, text)
        assert answer.status_code == 400
        assert "Nothing was ever" not in text_of(answer)
    assert "give 100 ids at most" in text_of(search(client, many))


def test_a_search_for_a_hundred_takes_as_many_queries_as_for_two(client, tms):
    for number in range(100):
        make_attempt(Kind.ACCEPTED, cids=(f"cust{number}",))
    search(client, "cust1 cust2")
    with counted_queries() as of_two:
        search(client, "cust1 cust2")
    with counted_queries() as of_many:
        assert len(lines(search(client, " ".join(f"cust{number}" for number in range(100))))) == 100
    assert len(of_many) <= len(of_two)  # a short text may also be one id


def test_a_state_that_was_never_read_is_no_state(client):
    assert "Not read yet." in lines(search(client, "cust1 cust2"))["cust1"]
    assert states_of(cluster_named("evian3").origin, ["cust1"]).unread == ("cust1",)
