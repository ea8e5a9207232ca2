"""docs/postgresql.sql: what a server role may do is enough to serve, and not enough to change what the audit holds."""

import os
import subprocess

import psycopg
import pytest
from django.conf import settings

from setactions.operations.backups.postgresql import _program
from setactions.resolving.tests.doubting import VARIABLES
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import run_python

pytestmark = pytest.mark.postgresql

NAMES = {"default": "roles_app", "jobs": "roles_jobs", "audit": "roles_audit"}
USE = f"""
import json
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
User.objects.create_superuser("adam", "", "a long enough password")
client = Client(HTTP_HOST="localhost")
print("sign in", client.post("/login/", {{"username": "adam", "password": "a long enough password"}}).status_code)
body = {{"url": settings.TMS_CLUSTERS["evian3"] + "/tms/v1/set/action", "token": "{TOKEN}", "isPost": True,
         "postData": {{"action": "PE-Enable", "cids": ["a1", "b2"]}}}}
print("action", client.post("/proxy_fetch", json.dumps(body), content_type="application/json").json()["outcome"])
body["postData"] = {{}}
print("refused", client.post("/proxy_fetch", json.dumps(body), content_type="application/json").json()["outcome"])
PATHS = ["/health", "/jobs/", "/batches/", "/customers/a1/", "/admin/jobs/job/", "/admin/audit/attempt/",
         "/admin/audit/auditentry/", "/admin/auth/user/", "/admin/audit/attempt/export.csv"]
for path in PATHS:
    print(path, client.get(path).status_code)
print("form", client.post("/admin/auth/user/add/", {{}}).status_code)
print("sign out", client.post("/logout/").status_code)
"""


@pytest.fixture
def urls():
    """A function that returns the environment of a site of its own, as the owners or the server roles see it."""
    base = os.environ["TEST_POSTGRES_URL"]
    place = base.partition("@")[2]
    with psycopg.connect(f"{base}/postgres", autocommit=True) as admin:
        for name in NAMES.values():
            for role in ("owner", "server"):
                admin.execute(f"CREATE ROLE {name}_{role} LOGIN")
            admin.execute(f"CREATE DATABASE {name} OWNER {name}_owner")
            admin.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
            admin.execute(f"GRANT CONNECT ON DATABASE {name} TO {name}_server")
        yield lambda role: {
            VARIABLES[alias]: f"postgres://{name}_{role}@{place}/{name}" for alias, name in NAMES.items()
        }
        for name in NAMES.values():
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in ("owner", "server"):
                admin.execute(f"DROP ROLE {name}_{role}")


def grant(urls):
    """Run docs/postgresql.sql in each database as its owner."""
    for alias, name in NAMES.items():
        url = urls("owner")[VARIABLES[alias]]
        command = [_program("psql"), "--no-psqlrc", "-q", "-v", f"server={name}_server"]
        subprocess.run([*command, "-f", settings.BASE_DIR / "docs" / "postgresql.sql", url], check=True)


FORBIDDEN = (
    "UPDATE audit_auditentry SET user_id = 'x'",
    "DELETE FROM audit_auditentry",
    "TRUNCATE audit_auditentry",
    "DROP TRIGGER audit_auditentry_append_only ON audit_auditentry",
    "ALTER TABLE audit_auditentry DISABLE TRIGGER ALL",
    "DROP FUNCTION audit_auditentry_append_only() CASCADE",
    "CREATE OR REPLACE FUNCTION audit_auditentry_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE TRIGGER mine BEFORE INSERT ON audit_auditentry EXECUTE FUNCTION audit_auditentry_append_only()",
    "ALTER TABLE audit_auditentry RENAME TO gone",
    "DROP TABLE audit_auditentry",
    "CREATE TABLE mine (a int)",
    "SET session_replication_role = replica",
    "DELETE FROM django_migrations",
)


def test_the_server_roles_serve_and_cannot_touch_the_audit(urls, tms, tmp_path):
    def manage(role, *arguments):
        environment = {"TMS_CLUSTERS": f"evian3={tms.url}", "AUDIT_SEAL_DIR": str(tmp_path / "seals")}
        return run_python("manage.py", *arguments, var_dir=tmp_path / "var", **environment, **urls(role))

    for _ in range(2):  # once more after an upgrade
        assert manage("owner", "migrate_all", "-v0").stderr == ""
        grant(urls)
    used = manage("server", "shell", "-v0", "-c", USE)
    assert dict(line.rsplit(" ", 1) for line in used.stdout.splitlines()) == {
        **{"sign in": "302", "action": "accepted", "refused": "refused", "/health": "200", "/jobs/": "200"},
        **{"/batches/": "200", "/customers/a1/": "200", "/admin/jobs/job/": "200", "/admin/audit/attempt/": "200"},
        **{"/admin/audit/auditentry/": "200", "/admin/auth/user/": "200", "/admin/audit/attempt/export.csv": "200"},
        **{"form": "200", "sign out": "302"},
    }, used.stderr
    for command in ("reconcile", "audit_verify", "audit_seal", "clearsessions", "check"):
        ended = manage("server", command)
        assert ended.returncode == 0, ended.stderr
        assert "[TIMER]" not in ended.stderr  # it could be recorded
    with psycopg.connect(urls("server")["AUDIT_DATABASE_URL"], autocommit=True) as server:
        assert server.execute("SELECT count(*) > 3 FROM audit_auditentry").fetchone() == (True,)
        for statement in FORBIDDEN:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                server.execute(statement)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(urls("server")["AUDIT_DATABASE_URL"].rpartition("/")[0] + "/roles_jobs")
    # What changes tables or triggers, or keeps others out, is for the owners.
    backup = manage("owner", "backup", str(tmp_path / "backups"))
    assert (backup.returncode, "[TIMER]" in backup.stderr) == (0, False)
