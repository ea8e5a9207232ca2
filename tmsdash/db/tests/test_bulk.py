"""A list of ids goes in whole, as it is, in order, or not at all."""

import uuid

import pytest
from django.db import DatabaseError, IntegrityError, connections
from model_bakery import baker

from audit.customer_index import add_customers
from audit.models import Attempt, AttemptCustomer
from audit.tests.making import refuse
from jobs.models import Job, JobCustomer
from jobs.stored import insert_customers
from tmsdash.db.bulk import LONG, LONG_LIST
from tmsdash.db.transactions import write_transaction

pytestmark = pytest.mark.usefixtures("databases")

LISTS = {
    "none": [],
    "one": ["a"],
    "against the alphabet": ["c", "B", "a", "10", "9"],
    "JSON's own characters": ['"', "'", "\\", "{}", "[]", "null", "true", '{"a": 1}', "\\u0041", '"]', "/", "a,b"],
    "numbers": ["0", "007", "7", "-1", "1e5", "1.0", "9" * 40],  # text stays text
    "SQL's own characters": ["%s", "%", "?", "a';--", "$1", "_", "%(a)s"],
    "Unicode": ["é", "e\u0301", "ü", "日本", "𝒳", "🙂", "\u202eabc", "ß", "SS", "ss"],
    "spaces": [" a", "a ", "a", "a\tb", "a\nb"],
    "case": ["ab", "AB", "Ab"],
    "length": ["x" * 128, "é" * 128],
}


def insert_for_job(cids):
    job = baker.make(Job)
    with write_transaction("jobs"):
        insert_customers(job.pk, cids)
    return list(JobCustomer.objects.filter(job=job).order_by("position").values_list("cid", "position"))


def insert_for_attempt(cids):
    attempt = baker.make(Attempt)
    with write_transaction("audit"):
        add_customers(attempt.pk, cids)
    return set(AttemptCustomer.objects.filter(attempt=attempt).values_list("cid", flat=True))


@pytest.mark.parametrize("cids", LISTS.values(), ids=LISTS.keys())
def test_every_list_comes_back_as_it_went_in(cids):
    assert insert_for_job(cids) == [(cid, position) for position, cid in enumerate(cids)]
    assert insert_for_attempt(tuple(cids)) == set(cids)


def test_a_whole_fleet_goes_in_with_one_statement(django_assert_num_queries):
    cids = [uuid.UUID(int=number * 7919 % 27_682 << 64).hex for number in range(27_682)]
    job = baker.make(Job)
    with write_transaction("jobs"), django_assert_num_queries(1, connection=connections["jobs"]):
        insert_customers(job.pk, cids)
    assert list(job.customers.order_by("position").values_list("cid", flat=True)) == cids
    assert insert_for_attempt(cids) == set(cids)


def test_lists_of_two_owners_do_not_mix():
    first, second = insert_for_job(["a", "b"]), insert_for_job(["b", "a"])
    assert (first, second) == ([("a", 0), ("b", 1)], [("b", 0), ("a", 1)])


@pytest.mark.parametrize("cids", [["a", "b", "a"], ["a", None], [None]])
def test_a_list_of_which_one_row_does_not_go_in_leaves_none(cids):
    job, attempt = baker.make(Job), baker.make(Attempt)
    with pytest.raises(IntegrityError), write_transaction("jobs"):
        insert_customers(job.pk, cids)
    with pytest.raises(IntegrityError), write_transaction("audit"):
        add_customers(attempt.pk, cids)
    assert not JobCustomer.objects.exists()
    assert not AttemptCustomer.objects.exists()


def test_rows_that_something_in_the_database_swallows_are_an_error():
    """A trigger stands for whatever may keep rows out without an error of its own."""
    job = baker.make(Job)
    with connections["jobs"].cursor() as cursor:
        if connections["jobs"].vendor == "sqlite":
            cursor.execute(
                "CREATE TRIGGER swallow BEFORE INSERT ON jobs_jobcustomer WHEN NEW.cid = 'b' "
                "BEGIN SELECT RAISE(IGNORE); END"
            )
        else:
            cursor.execute(
                "CREATE RULE swallow AS ON INSERT TO jobs_jobcustomer WHERE NEW.cid = 'b' DO INSTEAD NOTHING"
            )
    try:
        with pytest.raises(DatabaseError, match="2 of 3 rows"), write_transaction("jobs"):
            insert_customers(job.pk, ["a", "b", "c"])
        assert not JobCustomer.objects.exists()
    finally:
        kind = "TRIGGER swallow" if connections["jobs"].vendor == "sqlite" else "RULE swallow ON jobs_jobcustomer"
        with connections["jobs"].cursor() as cursor:
            cursor.execute(f"DROP {kind}")


@pytest.mark.sqlite
@pytest.mark.parametrize("insert", [insert_for_job, insert_for_attempt])
def test_a_connection_that_took_a_long_list_does_not_keep_it(insert):
    """SQLite's statements keep what they were given last, as long as their connection is open."""
    alias = "jobs" if insert is insert_for_job else "audit"
    insert(["a"])
    before = connections[alias].connection
    insert(["b"])
    assert connections[alias].connection is before
    insert([f"{number:032}" for number in range(LONG_LIST)])
    assert connections[alias].connection is not before


@pytest.mark.sqlite
def test_a_connection_that_took_a_long_entry_does_not_keep_it():
    refuse()
    assert connections["audit"].connection is not None
    refuse(message="m" * LONG)
    assert connections["audit"].connection is None
