"""Clusters and customers of the old dashboard, however it wrote them."""

import json

import pytest
from django.core.management import CommandError

from audit.models import Attempt, AuditEntry
from jobs.models import Job
from setactions.operations.legacy.names import origin_of
from tmsdash.tests.fixtures import signed_in

with_site = pytest.mark.usefixtures("databases", "tms")

ADDRESSES = [
    "https://evian3.example",
    "https://evian3.example/",
    "https://evian3.example/tms/v1/set/action",
    "https://evian3.example//tms/v1/get/action?cid=ALL",
    "HTTPS://Evian3.Example:443/tms//v1/set/action/",
    "https:///evian3.example/anything#else",
    " https://olivia:secret@evian3.example ",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_origin_is_found_in_every_spelling(address):
    assert origin_of(address) == "https://evian3.example"


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("http://evian3.example:80/x", "http://evian3.example"),
        ("http://evian3.example:443/x", "http://evian3.example:443"),
        ("https://evian3.example:8443/x", "https://evian3.example:8443"),
        ("https://[::1]:443/x", "https://[::1]"),
        ("evian3.example/tms/v1/set/action", "evian3.example"),
        ("https://evian3.example/?next=http://brooke.example", "https://evian3.example"),
        ("", ""),
    ],
)
def test_an_origin_is_scheme_host_and_port(address, origin):
    assert origin_of(address) == origin


@with_site
def test_mapped_clusters_are_filtered_together_with_ours(old, olivia, settings):
    settings.TMS_CLUSTERS |= {"brooke": "https://brooke.example:443"}
    for number, address in enumerate(ADDRESSES):
        old.job(f"a{number}", cluster_url=address)
    old.job("b1", cluster_url="https://gone.example/tms/v1/set/action")
    old.job("b2", cluster_url="https://Brooke.example/tms/v1/set/action")
    old.run("--cluster-map", "https://EVIAN3.example:443/tms/v1=evian3")
    ours = settings.TMS_CLUSTERS["evian3"]
    assert Job.objects.filter(cluster_url=ours).count() == len(ADDRESSES)
    assert Attempt.objects.filter(cluster_url=ours).count() == len(ADDRESSES)
    listed = signed_in(olivia).get("/jobs/", {"cluster": "evian3"}).text
    assert listed.count("old dashboard") == len(ADDRESSES)
    others = Job.objects.exclude(cluster_url=ours).order_by("pk").values_list("cluster_url", flat=True)
    assert list(others) == ["https://gone.example", settings.TMS_CLUSTERS["brooke"]]
    bodies = "".join(AuditEntry.objects.values_list("body", flat=True))
    assert '"cluster_url":"HTTPS://Evian3.Example:443/tms//v1/set/action/"' in bodies  # as it was written
    assert "secret" not in bodies


@with_site
@pytest.mark.parametrize(
    ("pairs", "problem"),
    [
        (["https://evian3.example"], "as https://host=name"),
        (["=evian3"], "as https://host=name"),
        (["https://evian3.example="], "as https://host=name"),
        (["https://evian3.example=evian3", "https://EVIAN3.example/=brooke"], "once"),
        (["https://evian3.example=evian4"], "TMS_CLUSTERS has no cluster evian4. It has evian3, brooke"),
        (["https://evian.example=evian3"], r"no row has https://evian.example. Rows have https://evian3.example \(1\)"),
    ],
)
def test_a_map_that_fits_nothing_stops_the_import(old, pairs, problem):
    old.job("a1")
    with pytest.raises(CommandError, match=problem):
        old.run(*(part for pair in pairs for part in ("--cluster-map", pair)))
    assert not AuditEntry.objects.exists()


@with_site
def test_a_user_whom_no_row_has_stops_the_import(old):
    old.job("a1")
    old.log(user_id="oscar")
    with pytest.raises(CommandError, match=r"no row has jdoe. Rows have olivia \(1\), oscar \(1\)"):
        old.run("--user-map", "jdoe=john")
    assert not AuditEntry.objects.exists()


# -- Customer ids of the audit log ----------------------------------------------------------------------------------


READABLE = [
    ("a1", ["a1"]),
    (" a1 ", ["a1"]),
    ('"a1"', ["a1"]),
    ("a1,b2", ["a1", "b2"]),
    ("a1; b2,\nc3,", ["a1", "b2", "c3"]),
    ('"a1, b2"', ["a1", "b2"]),
    ('["a1", "b2", "a1"]', ["a1", "b2"]),
    ("[17, 18]", ["17", "18"]),
    (17, ["17"]),
    ("17", ["17"]),
    ("0017", ["0017"]),
    ("12E4", ["12E4"]),
    ("123456789012345678901234567890", ["123456789012345678901234567890"]),
    (b'["a1"]', ["a1"]),
    ("[]", []),
    ("null", []),
    ("", []),
    ("  ", []),
    (None, []),
]
UNREADABLE = ["['a1']", "27 customers", "true", '{"a1": 1}', "[1.5]", '["\\ud800"]', b"\xff"]


@with_site
def test_customers_of_the_log_are_read_in_every_form_or_named(old):
    for value in [*(value for value, _ in READABLE), *UNREADABLE]:
        old.log(customer_ids=value)
    _, reported = old.run()
    attempts = Attempt.objects.order_by("pk")
    cids = [json.loads(AuditEntry.objects.get(attempt_id=attempt.attempt_id).body)["cids"] for attempt in attempts]
    assert cids == [cids for _, cids in READABLE]
    first = len(READABLE) + 1
    assert [line.split(": ")[0] for line in reported] == [
        f"audit_log row {number}" for number in range(first, first + len(UNREADABLE))
    ]


@with_site
def test_values_of_other_types_are_taken_as_text(old):
    job_id = old.job(user_id=b"olivia", action_code="2.0", action_name=b"pe-enable", status=b"SUCCESS")
    old.customer(job_id, b"a1")
    old.job("a2", job_id=b"JOB-17", request_payload=b'{"action": "PE-Enable"}', response_summary="")
    assert old.run()[1] == []
    job = Job.objects.get(job_id=job_id)
    assert (job.user_id, job.action_code, job.status, job.customers.get().cid) == ("olivia", 2, "success", "a1")
    assert Job.objects.exclude(job_id=job_id).get().request_payload == {"action": "PE-Enable"}
