"""Sites of their own on the PostgreSQL server of the tests."""

import os
from contextlib import contextmanager

import psycopg

from setactions.resolving.tests.doubting import VARIABLES


@contextmanager
def three_databases(prefix):
    """Three empty databases; yields the settings that name them. They are gone afterwards."""
    base = os.environ["TEST_POSTGRES_URL"]
    names = {variable: f"{prefix}_{alias}" for alias, variable in VARIABLES.items()}

    def on_each(statement):
        with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
            for name in names.values():
                admin.execute(statement.format(name))

    on_each("CREATE DATABASE {}")
    try:
        yield {variable: f"{base}/{name}" for variable, name in names.items()}
    finally:
        on_each("DROP DATABASE {} WITH (FORCE)")
