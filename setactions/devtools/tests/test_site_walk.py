"""The walk through every page finds the pages by itself, and says what is wrong with them."""

from types import SimpleNamespace

import pytest
from django.core.management import call_command

from audit.admin import AuditEntryAdmin
from jobs.admin import JobAdmin
from setactions.devtools.benchmarks.years import is_within_limits
from setactions.devtools.site_walk.links import Address, addresses
from setactions.devtools.site_walk.visitors import visitors
from setactions.devtools.site_walk.walk import Walk

PAGE = """
<a href="/jobs/7/">one</a> <a href="?state=done&amp;page=2">next</a> <a href="https://elsewhere.example/">away</a>
<form action="/jobs/"><input name="user"><input type="hidden" name="whose" value="all">
  <select name="action"><option value="">Any</option>
  <option value="1">A</option><option value="2" selected>B</option></select>
  <input name="since" value="2026-01-01"><input name="until"></form>
<form method="post" action="/send/"><input name="token"></form>
"""


def test_a_page_leads_to_its_links_and_to_what_its_forms_ask_for():
    found = {address.url for address in addresses(PAGE, Address("/list/"), {"user": ["ann"]}, [("", "2025-01-01")])}
    given = "whose=all&action=2&since=2026-01-01"
    assert found == {
        "/jobs/7/",
        "/list/?state=done&page=2",
        f"/jobs/?{given}&user=ann",
        "/jobs/?whose=all&action=1&since=2026-01-01",
        "/jobs/?whose=all&action=2&until=2025-01-01",
    }


def test_one_page_has_one_name_in_every_installation():
    labels = {"2026-11-29": "today", "ann": "a busy user", "before=700": "far behind"}
    names = {
        Address.read(url).name(labels)
        for url in (
            "/jobs/17/?before=5&user=ann&since=2026-11-29&p=3",
            "/jobs/18/?user=ann&p=3&before=61&since=2026-11-29",
        )
    }
    assert names == {"/jobs/…/?before=…&p=3&since=today&user=a busy user"}
    assert Address("/jobs/", {"before": "700"}).name(labels) == "/jobs/?before=far behind"
    assert Address("/jobs/", {"since": "a", "until": "b", "whose": "all", "o": "1"}).filters == {"days", "o"}


@pytest.fixture
def walk_as(databases):
    call_command("fill_demo_data", jobs=300)
    by_role = {visitor.role: visitor for visitor in visitors()}
    return lambda role, **options: Walk(by_role[role], **{"choices": 2, "paired": 0, "rounds": 1} | options)


def test_an_operator_walks_lists_one_and_two_filters_further_pages_details_and_json(walk_as):
    samples = {
        sample.name.removeprefix("busiest operator "): sample
        for sample in walk_as("busiest operator", paired=1).samples()
    }
    assert not [sample for sample in samples.values() if sample.error or not sample.cpu_ms or not sample.size]
    assert samples.keys() >= {
        *("/", "/jobs/", "/jobs/a job/", "/attempts/a job/", "/batches/", "/sessions/", "/api/jobs/mine"),
        *("/api/jobs/a job/customers", "/jobs/a job/customers.csv", "/customers/a frequent customer/"),
        *("/jobs/?customer=a frequent customer", "/jobs/?since=a week ago&until=today", "/jobs/?before=…"),
        *("/jobs/?before=far behind", "/jobs/?action=Trans-Begin&customer=a frequent customer"),
    }
    assert not [name for name in samples if "/admin/audit" in name or name.count("&") > 3]


def test_an_auditor_walks_the_audit_and_the_beginning_of_an_export(walk_as):
    names = {sample.name.removeprefix("auditor ") for sample in walk_as("auditor", choices=1).samples()}
    assert names >= {
        *("/admin/jobs/job/", "/admin/jobs/job/?q=a job", "/admin/audit/attempt/export.csv"),
        *("/admin/audit/auditentry/?time=all", "/admin/jobs/job/?action_code__exact=1"),
    }
    assert not [name for name in names if "/admin/" in name and "&" in name and "since" not in name]  # one filter each


def test_a_link_that_leads_nowhere_and_a_page_that_breaks_are_said(walk_as, monkeypatch):
    monkeypatch.setattr(AuditEntryAdmin, "linked_by", ())
    monkeypatch.setattr(JobAdmin, "answered", lambda *_: 1 / 0)
    errors = {(sample.name, sample.error) for sample in walk_as("auditor", choices=1).samples() if sample.error}
    assert errors == {
        ("auditor /admin/audit/auditentry/?attempt_id=a job", 400),
        ("auditor /admin/jobs/job/…/change/", 500),
    }


@pytest.mark.parametrize(
    ("few", "many", "few_size", "many_size", "keeps"),
    [
        (20.0, 30.0, 9, 9, True),
        (20.0, 30.1, 9, 9, False),
        (1.0, 15.0, 9, 9, True),  # too little to be measured
        (20.0, 60.0, 9, 18, True),  # it shows twice as much
        (20.0, 60.1, 9, 18, False),
        (90.0, 100.1, 9, 9, False),
        (None, 100.0, 0, 9, True),
        (None, 100.1, 0, 9, False),
    ],
)
def test_a_page_may_grow_a_little_and_with_what_it_shows(few, many, few_size, many_size, keeps):
    less = SimpleNamespace(costs={} if few is None else {"page": few}, sizes={"page": few_size})
    more = SimpleNamespace(costs={"page": many}, sizes={"page": many_size})
    assert is_within_limits("page", less, more) is keeps
