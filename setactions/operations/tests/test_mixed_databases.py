"""PostgreSQL for one or two of the three databases, SQLite for the others: the addresses alone decide."""

import os
from itertools import combinations

import psycopg
import pytest

from setactions.operations.tests.postgresql_sites import three_databases
from setactions.operations.tests.test_postgresql_roles import USE
from setactions.resolving.tests.doubting import VARIABLES
from tmsdash.tests.tools import KEYS, install, run_python

pytestmark = [pytest.mark.postgresql, pytest.mark.usefixtures("databases")]
MIXES = [aliases for count in (1, 2) for aliases in combinations(VARIABLES, count)]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """The addresses of three databases that are migrated, to make others from."""
    with three_databases("migrated") as urls:
        ended = run_python("manage.py", "migrate_all", "-v0", var_dir=tmp_path_factory.mktemp("var"), **KEYS, **urls)
        assert ended.returncode == 0, ended.stderr
        yield urls


@pytest.fixture
def urls_of(migrated):
    """A function that makes a database for each alias that it is given, and returns their addresses."""
    server, names = os.environ["TEST_POSTGRES_URL"], []
    with psycopg.connect(f"{server}/postgres", autocommit=True) as session:

        def make(aliases):
            for alias in aliases:
                session.execute(f"CREATE DATABASE mixed_{alias} TEMPLATE migrated_{alias}")
                names.append(f"mixed_{alias}")
            return {VARIABLES[alias]: f"{server}/mixed_{alias}" for alias in aliases}

        yield make
        for name in names:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("on_postgresql", MIXES, ids=", ".join)
def test_each_database_may_be_on_postgresql_alone(on_postgresql, urls_of, tms, tmp_path):
    environment = urls_of(on_postgresql) | {
        "TMS_CLUSTERS": f"evian3={tms.url}",
        "AUDIT_SEAL_DIR": str(tmp_path / "seals"),
        **KEYS,
    }
    install(tmp_path / "var", **KEYS)

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
