"""A second host with a VAR_DIR of its own, and the first one's PostgreSQL: nothing is written under its new keys."""

import shutil

import psycopg
import pytest

from setactions.operations.tests.postgresql_sites import three_databases
from tmsdash.tests.tools import free_ports, run_python

pytestmark = pytest.mark.postgresql

KEY_FILES = ("secret_key", "token_key", "audit_key")
KEPT = {
    "DATABASE_URL": "SELECT name, key_id FROM tmsdash_sitekey ORDER BY name",
    "AUDIT_DATABASE_URL": "SELECT sequence, mac, key_id, signature FROM audit_chainhead",
}


def test_a_second_host_with_new_keys_writes_nothing_until_it_has_those_of_the_site(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with three_databases("second_host") as urls:

        def manage(host, *arguments, **keys):
            return run_python("manage.py", *arguments, var_dir=host, **urls, **keys)

        def kept():
            rows = []
            for variable, query in KEPT.items():
                with psycopg.connect(urls[variable]) as session:
                    rows += session.execute(query).fetchall()
            return rows

        def refuses(name, *arguments, **keys):
            ended = manage(second, *arguments, **keys)
            assert ended.returncode != 0
            assert f"{name} is not this site's: " in ended.stderr, ended.stderr
            assert not any((second / file).read_text() in ended.stderr for file in KEY_FILES)

        assert manage(first, "migrate_all", "-v0").stderr == ""
        before = kept()
        refuses("AUDIT_KEY", "migrate_all", "-v0")  # which has made its keys by then
        refuses("AUDIT_KEY", "set_action_batch", "x.csv", "--user", "olivia")
        right = {"AUDIT_KEY": (first / "audit_key").read_text()}
        refuses("SECRET_KEY", "serve", "--port", str(free_ports(1)[0]), **right)
        assert kept() == before
        for file in KEY_FILES:
            shutil.copy(first / file, second / file)
        assert manage(second, "reconcile").returncode == 0
