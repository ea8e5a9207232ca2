"""What Django sends to PostgreSQL is fit for a pooler that lends out connections for one transaction each."""

import pytest
from django.db import OperationalError, connections, transaction

from jobs.models import Batch
from tmsdash.db.engine import base

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("databases")]


def cursors_while_reading():
    list(Batch.objects.iterator())
    with connections["jobs"].chunked_cursor() as cursor:
        cursor.execute("SELECT generate_series(1, 100)")
        assert len(cursor.fetchmany(10)) == 10
        with connections["jobs"].cursor() as other:
            other.execute("SELECT is_holdable FROM pg_cursors WHERE name <> ''")
            return [is_holdable for (is_holdable,) in other.fetchall()]


def test_a_long_result_has_a_cursor_of_the_server_within_a_transaction_only():
    assert cursors_while_reading() == []
    with transaction.atomic(using="jobs"):
        assert cursors_while_reading() == [False]


def test_no_statement_is_prepared():
    for _ in range(10):
        Batch.objects.count()
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)


def test_a_connection_that_fails_while_it_is_set_up_is_closed(monkeypatch):
    opened = []

    def fail(session):
        opened.append(session)
        raise OperationalError("the server is away")

    connections["jobs"].close()
    connections["jobs"].close_pool()
    with monkeypatch.context() as patch, pytest.raises(OperationalError, match="is away"):
        patch.setattr(base, "limit_session", fail)
        Batch.objects.count()
    assert [session.closed for session in opened] == [True]
    assert Batch.objects.count() == 0
