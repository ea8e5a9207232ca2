"""What filters offer is found with one query, however many names anybody makes."""

import re
import uuid

import pytest
from django.test import Client

from audit.models import AuditEntry
from jobs.models import Job
from jobs.selectors import known_clusters
from jobs.tests.making import make_batch, make_job
from tmsdash.accounts import LAST_UNKNOWN_NAME, UNKNOWN_NAME, recorded_name
from tmsdash.db.known_values import known_values
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries
from tmsdash.web.admin_filters import VALUES_SHOWN

pytestmark = pytest.mark.usefixtures("databases")

MANY = 5_000
MOST = 32  # queries of a page, which the first visit of a day adds some to
ENTRIES, ATTEMPTS, JOBS, BATCHES = (
    f"/admin/{name}/" for name in ("audit/auditentry", "audit/attempt", "jobs/job", "jobs/batch")
)


def copies(row, **values):
    """As many copies of a row as there are values, each with its own; past the chain, which does not matter here."""
    [(name, texts)] = values.items()
    kept = {field.attname: getattr(row, field.attname) for field in row._meta.fields if not field.primary_key}
    pk = row._meta.pk.attname
    for number, text in enumerate(texts, start=1):
        yield type(row)(**(kept | {pk: row.pk + number, name: text}))


def add_entries(**values):
    first = AuditEntry.objects.order_by("sequence").last()
    rows = list(copies(first, **values))
    super(type(AuditEntry.objects.all()), AuditEntry.objects.all()).bulk_create(rows, batch_size=500)


def queries_of(client, address):
    """How many queries a page takes, of all databases, and what it says."""
    client.get(address)  # the first to come notes which keys the rows of a day have
    with counted_queries() as queries:
        answer = client.get(address)
    assert answer.status_code == 200
    [filters] = re.findall('<details class="card filters.*?</details>', answer.content.decode(), re.DOTALL)
    return len(queries), " ".join(re.sub("<[^>]*>", " ", filters).split())


@pytest.fixture
def signed_in_once(audrey):
    Client().post("/login/", {"username": "audrey", "password": "wrong"})
    return signed_in(audrey)


def test_names_that_strangers_make_up_are_stepped_over_at_once(signed_in_once):
    made_up = [f"{UNKNOWN_NAME}{uuid.uuid4().hex}" for _ in range(MANY)]
    add_entries(user_id=["aaron", *made_up, UNKNOWN_NAME + "0" * 32, LAST_UNKNOWN_NAME, "unknown", "unknowna", "zoe"])
    count, filters = queries_of(signed_in_once, ENTRIES)
    assert count < MOST
    for name in ("aaron", "audrey", "unknown", "unknowna", "zoe"):
        assert f" {name} " in filters
    assert UNKNOWN_NAME not in filters
    assert "in full" not in filters


def test_a_name_that_nobody_has_is_kept_below_the_last_one(databases):
    assert len(recorded_name("nobody at all")) == len(LAST_UNKNOWN_NAME)
    assert UNKNOWN_NAME < recorded_name("nobody at all") <= LAST_UNKNOWN_NAME


@pytest.mark.parametrize(
    ("name", "label"), [("user_id", "user"), ("action_type", "action")], ids=["names of users", "names of actions"]
)
def test_the_first_hundred_are_offered_and_a_field_for_all_others(signed_in_once, name, label):
    add_entries(**{name: [f"n{number:05}" for number in range(MANY)]})
    count, filters = queries_of(signed_in_once, ENTRIES)
    assert count < MOST
    assert "n00097" in filters
    assert "n00101" not in filters
    assert f"Type any other {label} in full" in filters
    _, chosen = queries_of(signed_in_once, f"{ENTRIES}?{name}=n04999&kind__exact=SIGN_IN_FAILED")
    assert "n04999" in chosen
    page = signed_in_once.get(f"{ENTRIES}?{name}=n04999&kind__exact=SIGN_IN_FAILED").content.decode()
    assert page.count("field-sequence") == 1
    form = page.partition('<details class="card filters')[2].partition("</form>")[0]
    assert '<option value="SIGN_IN_FAILED" selected>' in form
    assert f'name="{name}" value="n04999"' in form


@pytest.mark.parametrize("path", [JOBS, "/jobs/", BATCHES, "/batches/"])
@pytest.mark.parametrize("name", ["user_id", "cluster_url"])
def test_lists_of_jobs_and_batches_take_few_queries_too(adam, path, name):
    row = make_batch() if "batch" in path else make_job()
    type(row).objects.bulk_create(copies_with_ids(row, **{name: [f"n{number:05}" for number in range(MANY)]}))
    count, _ = queries_of(signed_in(adam), path)
    assert count < MOST


def copies_with_ids(row, **values):
    for copy in copies(row, **values):
        setattr(copy, "job_id" if isinstance(copy, Job) else "batch_id", uuid.uuid4())
        yield copy


def test_values_come_in_order_once_each_and_without_the_empty_one(databases):
    job = make_job(user_id="")
    names = ["b", "a", "c", "a", "B", "é", "%", "_", "x' OR 1=1"]
    Job.objects.bulk_create(copies_with_ids(job, user_id=names))
    found = known_values(Job, "user_id", 100)
    assert found == list(
        Job.objects.exclude(user_id="").order_by("user_id").values_list("user_id", flat=True).distinct()
    )
    assert len(found) == 8
    assert known_values(Job, "user_id", 3) == found[:3]
    assert known_values(Job, "user_id", 100, passed_over=("a", "a")) == [name for name in found if name != "a"]


def test_there_may_be_nothing(databases):
    assert known_values(Job, "user_id", 100) == known_clusters() == []
    assert known_values(AuditEntry, "user_id", VALUES_SHOWN, passed_over=(UNKNOWN_NAME, LAST_UNKNOWN_NAME)) == []
