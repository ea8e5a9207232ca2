"""Whether PostgreSQL takes as many connections as all workers may open."""

import pytest
from django.db import connections

from tmsdash.db.postgresql import too_few_connections


@pytest.mark.sqlite
def test_sqlite_needs_no_connections_of_a_server(databases):
    assert list(too_few_connections(64)) == []


@pytest.mark.postgresql
def test_a_server_that_takes_fewer_connections_than_the_workers_may_open_is_named(databases, monkeypatch):
    for alias in connections:
        monkeypatch.setitem(connections[alias].settings_dict["OPTIONS"], "pool", {"max_size": 2})
    assert list(too_few_connections(1)) == []
    [sentence] = too_few_connections(1000)
    assert "this server may open 6000: raise its max_connections, or lower WEB_WORKERS or WEB_THREADS." in sentence
