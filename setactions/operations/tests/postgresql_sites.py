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
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        for name in names.values():
            admin.execute(f"CREATE DATABASE {name}")
        try:
            yield {variable: f"{base}/{name}" for variable, name in names.items()}
        finally:
            for name in names.values():
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
