"""The status page: what TMS showed last of a cluster's customers, all of it with its age and source."""

import csv
import io
import re
import uuid
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from jobs.live import states
from jobs.models import LiveCluster, LiveReading
from jobs.tests.making import make_batch, make_job
from setactions.live import reading as reading_module
from setactions.resolving.tests.doubting import hidden_fields, reads, tms_does
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import counted_queries, stored_bytes, text_of

pytestmark = pytest.mark.usefixtures("databases")
STATUS = "/status/evian3/"


@pytest.fixture
def evian3(tms):
    return cluster_named("evian3")


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def read_at(cluster, at, codes, user_id="oscar"):
    """A reading of all customers that began at a time."""
    shown = LiveReading(cluster_url=cluster.origin, asked="ALL", user_id=user_id, customer_count=len(codes))
    shown.began_at = shown.ended_at = at
    states.keep_whole(shown, codes)
    return shown


@pytest.fixture
def whole(evian3):
    """Of 300 customers 299 at PE-Enable or T-Enable, read an hour ago; and one that was read alone, at PE-Direct."""
    hour_ago = timezone.now() - timedelta(hours=1)
    shown = read_at(evian3, hour_ago, {f"c{number:03}": 2 + number % 2 for number in range(300)})
    now = timezone.now()
    alone = LiveReading(cluster_url=evian3.origin, asked="c007", user_id="olivia", began_at=now, ended_at=now)
    states.keep_one(alone, 5)
    return shown


def numbers(page):
    """The numbers of the bar's table, with where each leads."""
    cells = r'</span> ([^<]+)</span></td>\s*<td data-label="Customers" class="number">(?:<a href="([^"]+)">)?([\d,]+)'
    return {label: (count, unescape(address)) for label, address, count in re.findall(cells, page.content.decode())}


def listed(page):
    return re.findall(r'<a class="id" href="/customers/[^"]+">([^<]+)</a>', page.content.decode())


def csv_rows(client, address):
    answer = client.get(address)
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(answer.getvalue().decode())))


@pytest.mark.parametrize(
    "cid",
    ["a\nb", "\n", "a/b", "/", "..", "?", "%", "%2F", "#", "<b>", "=1+1", "{cid}", '"', "\\", " ", "\u200b"],
)
def test_whatever_tms_lists_as_an_id_has_its_row_and_its_page(client, evian3, cid):
    read_at(evian3, timezone.now(), {cid: 2, "zz": 3})
    read_at(evian3, timezone.now(), {cid: 4, "zz": 3})
    shown = {"\n": "(blank: U+000A)", " ": "(blank: U+0020)", "\u200b": "(blank: U+200B)"}.get(cid, cid)
    assert sorted(map(unescape, listed(page := client.get(STATUS)))) == sorted([shown, "zz"])
    rows = csv_rows(client, f"{STATUS}customers.csv")
    assert sorted(row[0].removeprefix("'") for row in rows[1:]) == sorted([cid, "zz"])
    addresses = re.findall(r'<a class="id" href="([^"]+)"', page.content.decode())
    pages = [text_of(client.get(unescape(address))) for address in addresses]
    assert any("PE-Finalize" in text and " ".join(shown.split()) in text for text in pages)


def test_the_numbers_add_up_and_lead_to_their_customers(client, whole):
    shown = numbers(client.get(STATUS))
    assert {label: count for label, (count, _) in shown.items()} == {
        "PE-Enable": "150",
        "T-Enable": "149",
        "PE-Direct": "1",
    }
    for count, address in shown.values():
        assert f"{count} of 300 customers of evian3." in text_of(page := client.get(address))
        assert len(csv_rows(client, address.replace(STATUS, f"{STATUS}customers.csv"))) == int(count) + 1
        assert numbers(page) == shown | {label: (n, a) for label, (n, a) in numbers(page).items()}


def test_every_state_has_its_age_and_source(client, whole):
    text = text_of(client.get(STATUS))
    assert re.search(r"300 customers on [\d: -]+ UTC \(an hour ago\) , read from TMS for oscar", text)
    row = text_of(client.get(f"{STATUS}?q=c007"))
    assert re.search(r"c007 PE-Direct [\d: -]+ UTC \((now|.* seconds? ago)\) read from TMS for olivia", row)
    assert csv_rows(client, f"{STATUS}customers.csv?q=c007")[1][:3] == ["c007", "PE-Direct", "5"]


def test_the_table_is_paged_searched_and_sorted_by_the_server(client, whole):
    assert listed(client.get(STATUS)) == [f"c{number:03}" for number in range(100)]
    last = client.get(f"{STATUS}?sort=-cid&page=3")
    assert listed(last) == [f"c{number:03}" for number in reversed(range(100))]
    assert "Page 3 of 3" in text_of(last)
    assert listed(client.get(f"{STATUS}?q=C29&sort=state")) == [f"c{n}" for n in (290, 292, 294, 296, 298)] + [
        f"c{n}" for n in (291, 293, 295, 297, 299)
    ]
    assert listed(client.get(f"{STATUS}?sort=-state&state=5")) == ["c007"]
    assert "No customers match" in text_of(client.get(f"{STATUS}?q=c_1"))  # no pattern


def test_a_page_takes_as_many_queries_of_three_hundred_customers_as_of_one(client, evian3, whole):
    client.get(STATUS)  # notes the session's use
    with counted_queries() as of_many:
        client.get(STATUS)
    LiveCluster.objects.get().states.exclude(cid="c007").delete()
    with counted_queries() as of_one:
        client.get(STATUS)
    assert len(of_many) == len(of_one)


def test_customers_of_a_job_are_shown_whatever_was_read_of_them(client, evian3, whole):
    job = make_job(cids=("c007", "gone", "c001"), cluster_url=evian3.origin)
    page = client.get(f"{STATUS}?job={job.job_id}")
    assert listed(page) == ["c007", "gone", "c001"]
    assert {label: count for label, (count, _) in numbers(page).items()} == {
        "not known to TMS": "1",
        "T-Enable": "1",
        "PE-Direct": "1",
    }
    assert listed(client.get(numbers(page)["not known to TMS"][1])) == ["gone"]
    assert listed(client.get(f"{STATUS}?job={job.job_id}&sort=-state")) == ["c007", "c001", "gone"]
    assert listed(client.get(f"{STATUS}?job={job.job_id}&sort=cid&q=C0")) == ["c001", "c007"]
    rows = csv_rows(client, f"{STATUS}customers.csv?job={job.job_id}")
    assert [row[:3] for row in rows[1:]] == [
        ["c007", "PE-Direct", "5"],
        ["gone", "not known to TMS", "0"],
        ["c001", "T-Enable", "3"],
    ]


def test_customers_of_a_cluster_that_was_never_read_are_never_read(client, evian3):
    assert "Nobody has read all customers of evian3 yet" in text_of(client.get(STATUS))
    job = make_job(cids=("a1", "b2"), cluster_url=evian3.origin)
    page = client.get(f"{STATUS}?job={job.job_id}")
    assert numbers(page) == {"not read yet": ("2", f"{STATUS}?job={job.job_id}&state=unread")}
    assert listed(client.get(numbers(page)["not read yet"][1])) == ["a1", "b2"]
    assert csv_rows(client, f"{STATUS}customers.csv?job={job.job_id}")[1] == ["a1", "not read yet", "", "", "", ""]


def test_customers_of_a_batch_are_those_for_this_cluster(client, evian3, whole):
    batch = make_batch(cids=("c001", "c002", "c003"), clusters=(evian3.origin, "http://127.0.0.1:2"))
    assert listed(client.get(f"{STATUS}?batch={batch.batch_id}")) == ["c001", "c002", "c003"]


def test_jobs_batches_and_lists_of_others_are_not_shown(oscar, client, evian3, whole):
    job, batch = make_job(cluster_url=evian3.origin), make_batch(clusters=(evian3.origin,))
    kept = client.post(f"{STATUS}list/", {"cids": "c001"})["Location"].partition("list=")[2]
    for name, key in {"job": job.job_id, "batch": batch.batch_id, "list": kept}.items():
        for path in (STATUS, f"{STATUS}customers.csv"):
            assert client.get(path, {name: key}).status_code == 200
            answer = signed_in(oscar).get(path, {name: key})
            assert answer.status_code == 400
            assert b"c001" not in answer.content


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("job=x", "This is not a job id."),
        ("state=maybe", "Select one of the states."),
        (f"job={uuid.uuid4()}", "There is no such job"),
        (f"list={uuid.uuid4()}", "This list is not kept any more. Paste it again."),
        (f"list={uuid.uuid4()}&job={uuid.uuid4()}", "not several of them"),
        (f"q={'x' * 129}", "at most 128"),
        ("sort=secret", "Select a valid choice"),
    ],
)
def test_an_address_that_makes_no_sense_lists_nobody_and_says_why(client, whole, query, sentence):
    page = client.get(f"{STATUS}?{query}")
    assert page.status_code == 400
    assert sentence in text_of(page)
    assert listed(page) == []
    assert client.get(f"{STATUS}customers.csv?{query}").status_code == 400


def test_a_job_of_another_cluster_is_not_shown_as_one_of_this(client, evian3, whole):
    job = make_job(cids=("c001",), cluster_url="http://127.0.0.1:2")
    page = client.get(f"{STATUS}?job={job.job_id}")
    assert f"There are no customers of job {job.job_id} on evian3." in text_of(page)
    assert listed(page) == []


def test_a_list_of_thousands_is_pasted_once_and_paged_by_address(client, whole):
    pasted = [f"c{number:03}" for number in range(300)] + [f"other{number}" for number in range(3000)]
    address = client.post(f"{STATUS}list/?state=0", {"cids": "\n".join(pasted)})["Location"]
    page = client.get(address)
    assert len(address) < 100
    assert numbers(page)["not known to TMS"][0] == "3,000"
    assert "Page 1 of 30" in text_of(page)
    onward = unescape(re.search(r'rel="next" href="([^"#]+)', page.content.decode())[1])
    assert listed(client.get(onward))[0] == "other100"


@pytest.mark.parametrize(
    "fields",
    [{}, {"cids": "  "}, {"cids": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}, {"cids": "a1", "csv_file": "b2"}],
)
def test_a_list_that_is_none_is_named_beside_its_field(client, whole, fields):
    if "csv_file" in fields:
        fields = fields | {"csv_file": io.BytesIO(b"b2")}
    page = client.post(f"{STATUS}list/", fields)
    assert page.status_code == 400
    assert re.search("The list is empty|looks like a bearer token|not both", text_of(page))
    assert b"eyJ" not in page.content


def test_a_reading_by_button_is_shown_at_once_and_can_be_repeated_without_the_token(client, tms, monkeypatch):
    tms_does(tms, "PE-Enable", "a1", "b2")
    page = client.post(f"{STATUS}read/?state=3", {"token": TOKEN})
    assert numbers(page) == {"PE-Enable": ("2", f"{STATUS}?state=2")}
    assert listed(page) == []  # of the state that was asked for
    assert 'aria-current="page">Status' in page.content.decode()
    shared = client.post(f"{STATUS}read/", hidden_fields(page))
    is_told = ["TMS was not asked again" in text_of(answer) for answer in (page, shared)]
    assert (is_told, reads(tms)) == ([False, True], [("ALL",)])
    monkeypatch.setattr(reading_module, "FRESH_S", -60)
    tms_does(tms, "T-Enable", "b2")
    again = client.post(f"{STATUS}read/", hidden_fields(page))
    assert {label: count for label, (count, _) in numbers(again).items()} == {"PE-Enable": "1", "T-Enable": "1"}
    assert reads(tms) == [("ALL",), ("ALL",)]
    for answer in (page, again):
        assert TOKEN.encode() not in answer.content
    assert TOKEN.encode() not in stored_bytes()


def test_a_seal_opens_for_its_user_and_cluster_only(client, oscar, tms):
    tms_does(tms, "PE-Enable", "a1")
    sealed = hidden_fields(client.post(f"{STATUS}read/", {"token": TOKEN}))
    assert sealed["sealed"]
    assert signed_in(oscar).post(f"{STATUS}read/", sealed).status_code == 400
    assert client.post("/status/brooke/read/", sealed).status_code == 400
    assert reads(tms) == [("ALL",)]


@pytest.mark.parametrize(("fault", "keeps_token"), [("http:500", True), ("unauthorized", False), ("html", True)])
def test_a_reading_that_fails_says_why_and_changes_no_number(client, tms, whole, fault, keeps_token):
    before = numbers(client.get(STATUS))
    page = client.post(f"{STATUS}read/", {"token": f"fault:{fault}"})
    assert page.status_code == 502
    assert re.search(r"Nothing was read evian3 could not be read: \S", text_of(page))
    assert numbers(page) == before
    assert bool(hidden_fields(page).get("sealed")) == keeps_token
    later = text_of(client.get(STATUS))
    assert re.search(r"The newest reading failed .* for olivia: evian3 could not be read", later)
    assert "What is shown is older." in later


def test_who_looks_while_somebody_reads_is_told_since_when(client, evian3, whole):
    name = reading_module._lead(evian3)
    assert re.search(r"It is being read now, since [\d: -]+ UTC", text_of(client.get(STATUS)))
    LiveCluster.objects.update(reader_until=timezone.now())
    assert "being read now" not in text_of(client.get(STATUS))
    reading_module._release(evian3, name)


def test_the_way_to_one_cluster_is_short_and_several_are_listed(client, settings, whole):
    page = client.get("/status/")
    assert re.search(r"evian3 300 Read from TMS for oscar, .* brooke – never", text_of(page))
    settings.TMS_CLUSTERS = {"evian3": settings.TMS_CLUSTERS["evian3"]}
    assert client.get("/status/")["Location"] == STATUS
    settings.TMS_CLUSTERS = {}
    assert "No cluster is configured" in text_of(client.get("/status/"))
    assert client.get(STATUS).status_code == 404


def test_who_may_not_look_customers_up_sees_no_states(olivia, client, whole):
    assert b'href="/status/"' in client.get("/jobs/").content
    olivia.groups.clear()
    assert b'href="/status/"' not in client.get("/jobs/").content
    assert client.get(STATUS).status_code == 403


def test_who_may_only_look_is_offered_no_reading(audrey, whole):
    page = signed_in(audrey).get(STATUS)
    assert b'name="token"' not in page.content
    assert b'name="answer"' not in page.content
