"""Our cursor takes what Django's takes, and looks after the same."""

import threading

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, ProgrammingError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases")]


@pytest.mark.parametrize("again", range(2))
def test_marks_and_percent_signs_are_turned_into_sqlites(again):
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT %s, '100%%', '%%s', %s", ["a", "%s"])
        assert cursor.fetchone() == ("a", "100%", "%s", "%s")
        cursor.execute("SELECT %(a)s, '100%%', %(b)s, %(a)s", {"a": 1, "b": 2})
        assert cursor.fetchone() == (1, "100%", 2, 1)
        cursor.execute("SELECT '100%'")  # without parameters nothing is replaced
        assert cursor.fetchone() == ("100%",)


def test_what_goes_past_django_stays_as_it_is():
    raw = connections["jobs"]
    raw.ensure_connection()
    assert raw.connection.execute("SELECT '%%', ?", ["%s"]).fetchone() == ("%%", "%s")


def test_what_sqlite_says_comes_as_djangos_error_and_breaks_the_transaction():
    with connections["jobs"].cursor() as cursor:
        for statement in (["SELECT missing"], ["SELECT %s, missing", [1]]):
            with pytest.raises(OperationalError, match="no such column"):
                cursor.execute(*statement)
        with transaction.atomic(using="jobs"):
            with pytest.raises(IntegrityError), transaction.atomic(using="jobs", savepoint=False):
                cursor.execute("INSERT INTO jobs_job (job_id) VALUES (%s)", ["a"])
            with pytest.raises(TransactionManagementError):
                cursor.execute("SELECT 1")
            transaction.set_rollback(True, using="jobs")


def test_a_wrapper_and_who_counts_queries_are_told_of_every_statement():
    with connections["jobs"].cursor() as cursor, connections["jobs"].execute_wrapper(lambda *_: "wrapped"):
        assert [cursor.execute("SELECT 1"), cursor.execute("SELECT %s", [1])] == ["wrapped", "wrapped"]
    with CaptureQueriesContext(connections["jobs"]) as captured, connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT %s", [1])
        cursor.execute("SELECT 2")
    assert len(captured) == 2


def test_a_connection_is_of_use_to_its_own_thread_and_while_it_is_open_only():
    connection, errors = connections["jobs"], []
    connection.ensure_connection()

    def use():
        try:
            connection.cursor()
        except DatabaseError as error:
            errors.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "can only be used in that same thread" in errors[0]
    with pytest.raises(ProgrammingError, match="closed"), transaction.atomic(using="jobs"):
        connection.close()
        connection.cursor()
