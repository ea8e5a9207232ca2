"""PostgreSQL for some of the three databases, SQLite for the others: the addresses alone decide."""

import os

import psycopg
import pytest

from setactions.operations.tests.test_postgresql_roles import USE
from setactions.resolving.tests.doubting import VARIABLES
from tmsdash.tests.tools import install, run_python

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("databases")]


@pytest.fixture
def urls_of():
    """A function that makes an empty database for each alias that it is given, and returns their addresses."""
    server, names = os.environ["TEST_POSTGRES_URL"], []
    with psycopg.connect(f"{server}/postgres", autocommit=True) as session:

        def make(aliases):
            names.extend(f"mixed_{alias}" for alias in aliases)
            for name in names:
                session.execute(f"CREATE DATABASE {name}")
            return {VARIABLES[alias]: f"{server}/mixed_{alias}" for alias in aliases}

        yield make
        for name in names:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("on_postgresql", [["jobs"], ["default", "audit"]], ids=", ".join)
def test_each_database_may_be_on_postgresql_alone(on_postgresql, urls_of, tms, tmp_path):
    environment = urls_of(on_postgresql) | {
        "TMS_CLUSTERS": f"evian3={tms.url}",
        "AUDIT_SEAL_DIR": str(tmp_path / "seals"),
    }
    install(tmp_path / "var")

    def manage(*arguments):
        ended = run_python("manage.py", *arguments, var_dir=tmp_path / "var", **environment)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    manage("migrate_all", "-v0")
    answers = dict(line.rsplit(" ", 1) for line in manage("shell", "-v0", "-c", USE).splitlines())
    assert answers.pop("action") == "accepted"
    assert answers.pop("refused") == "refused"
    assert set(answers.values()) == {"200", "302"}
    everything = [f"--database={alias}" for alias in VARIABLES]
    for command in (["reconcile"], ["audit_verify", "--jobs"], ["check", *everything]):
        manage(*command)
