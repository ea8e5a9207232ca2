"""`manage.py doctor` in processes of its own, on installations that are wrong in many ways, and on a right one."""

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing, contextmanager

import pytest

from setactions.devtools.simulator import Simulator
from tmsdash.tests.tools import free_ports, install, run_python

NAMES = ("reconcile", "backup", "seal", "verify")


@pytest.fixture
def site(tmp_path):
    """An installation with keys and settings in files, of which `doctor` finds out what a function returns."""
    folder = tmp_path / "site"
    folder.mkdir(mode=0o700)
    install(folder / "var")
    (folder / "seals").mkdir(mode=0o700)

    def doctor(*options, env="", **environment):
        file = folder / "env"
        file.touch(mode=0o600)
        file.write_text(f"AUDIT_SEAL_DIR={folder / 'seals'}\n{env}")
        before = tree_of(folder)
        environment = {"ENV_FILE": str(file), "HOME": str(folder)} | environment
        ended = run_python("manage.py", "doctor", *options, var_dir=folder / "var", **environment)
        assert tree_of(folder) == before, "doctor changed something"
        assert "Traceback" not in ended.stdout + ended.stderr
        assert ended.stderr == ""
        return ended

    doctor.folder = folder
    return doctor


@pytest.fixture
def findings(site):
    """What `doctor --json` finds wrong or worth knowing, by id."""

    def run(**arguments):
        ended = site("--json", **arguments)
        assert ended.returncode == 1
        topics = json.loads(ended.stdout)["topics"]
        return {found["id"]: found for topic in topics for found in topic["findings"]}

    run.folder = site.folder
    return run


def tree_of(folder):
    """Everything below a folder: names, owners, modes, sizes and times of change."""
    tree = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK) else b""
        if path.name.endswith("-shm"):  # memory that all readers share
            status, content = path.parent.lstat(), b""
        tree[str(path)] = (status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns, content)
    return tree


@contextmanager
def in_use(folder):
    """All timers have run a moment ago, and the site runs: what it wrote is still in its WAL."""
    with closing(sqlite3.connect(folder / "var" / "app.db")) as session:
        session.executemany(
            "INSERT INTO tmsdash_timerrun (name, ended_at, succeeded, succeeded_at) "
            "VALUES (?, datetime('now'), 1, datetime('now'))",
            [(name,) for name in NAMES],
        )
        session.commit()
        yield


def test_a_right_installation_is_well_and_nothing_of_it_changes_and_of_a_cluster_only_its_root_is_asked_for(site):
    with Simulator() as tms, in_use(site.folder):
        ended = site(
            env=f"TMS_CLUSTERS=evian3={tms.url}\nAUDIT_KEY={'a' * 40}\nAUDIT_OLD_KEYS={key(site, 'audit_key')}\n"
        )
        assert [(call.method, call.path) for call in tms.calls()] == [("HEAD", "/")]
    assert ended.returncode == 0, ended.stdout
    assert "All is well" in ended.stdout
    assert "well   Clusters: reached: evian3" in ended.stdout
    assert "well   Databases: three databases on SQLite answer" in ended.stdout
    assert "well   Timers: in time: reconcile, backup, seal, verify" in ended.stdout
    assert "WRONG" not in ended.stdout


def key(site, name):
    return (site.folder / "var" / name).read_text().strip()


def test_settings_that_stop_everything_else_are_all_named_at_once_with_their_lines(findings):
    wrong = {
        "TMS_DEADLINE_S": "30s",
        "ALLOWED_HOSTS": "https://tms.example",
        "TMS_CLUSTERS": "evian3=http://tms.example",
        "TMS_CA_BUNDLE": "/no/such/file.pem",
        "TRUSTED_PROXIES": "proxy.local",
        "CSRF_TRUSTED_ORIGINS": "tms.example",
        "SECRET_KEY": "hunter2-hunter2",
    }
    found = findings(env="".join(f"{name}={value}\n" for name, value in wrong.items()) + "ALOWED_HOSTS=tms.example\n")
    for line, name in enumerate(wrong, start=2):
        assert found[f"setting.{name.lower()}"]["mend"] == f"Correct {name} in {findings.folder / 'env'}, line {line}."
        assert found[f"setting.{name.lower()}"]["sentence"].startswith(f"{name}: ")
    assert "Is ALLOWED_HOSTS meant?" in found["setting.misspelt"]["sentence"]
    assert "hunter2" not in str(found)
    # What was looked at with defaults in their place would be about another installation.
    assert not {"clusters.none", "hosts.loopback", "key.other"} & found.keys()


def test_a_file_of_settings_that_cannot_be_understood_is_named_as_text_too(site):
    ended = site(env="TMS_CLUSTERS: evian3\n")
    assert ended.returncode == 1
    assert f"WRONG  Settings: {site.folder / 'env'}: line 2 is not NAME=value." in ended.stdout
    assert "-> Correct that line of the file." in ended.stdout


@pytest.mark.parametrize(
    ("content", "sentence", "mend"),
    [
        (b"\xef\xbb\xbfTMS_PASSIVE=false\n", "begins with a byte order mark", "sed -i '1s/^\\xEF\\xBB\\xBF//'"),
        (b"OIDC_NAME=Gr\xfcn\n", "is not UTF-8 text", "iconv -f WINDOWS-1252 (or UTF-16) -t UTF-8"),
    ],
)
def test_a_file_of_settings_in_another_encoding_is_named_with_what_converts_it(tmp_path, content, sentence, mend):
    file = tmp_path / "env"
    file.write_bytes(content)
    ended = run_python("manage.py", "doctor", var_dir=tmp_path / "var", ENV_FILE=str(file))
    assert ended.returncode == 1
    assert sentence in ended.stdout
    assert f"{mend} {file}" in ended.stdout


def test_an_installation_that_is_open_to_others_and_that_nobody_can_use(findings):
    var, seals = findings.folder / "var", findings.folder / "seals"
    (var / "jobs.db").chmod(0o644)
    (var / "audit.db").chmod(0o400)
    shutil.copy(var / "app.db", var / "app.db.before-restore-2026-01-01")
    (seals / "seals-1.jsonl").touch()
    (seals / "seals-1.jsonl").chmod(0o666)
    var.chmod(0o755)
    (findings.folder / "env").touch()
    (findings.folder / "env").chmod(0o644)
    if os.geteuid() == 0:  # who may do everything, whatever modes say: the site is another user's
        for path in [findings.folder, *findings.folder.rglob("*")]:
            os.chown(path, 65_534, -1)
    found = findings(env="ALLOWED_HOSTS=tms.example\n")
    assert "seals.missing" not in found
    mends = {
        "tmsdash.W003": f"chmod 700 {var}",
        "tmsdash.W040": f"chmod 600 {findings.folder / 'env'}",
        "tmsdash.W006": f"chmod 600 {var / 'jobs.db'}",
        "tmsdash.W004": "AUDIT_KEY",
        "files.closed": f"chmod u+rwX {var / 'audit.db'}",
        "seals.writable": f"chmod -R go-w {seals}",
        "files.before_restore": f"rm {var / 'app.db.before-restore-2026-01-01'}",
        "https.no_proxy": f"TRUSTED_PROXIES=127.0.0.1 in {findings.folder / 'env'}",
        "clusters.none": f"TMS_CLUSTERS=evian3=https://tms.evian3.example in {findings.folder / 'env'}",
    }
    for name, mend in mends.items():
        assert mend in found[name]["mend"], name
    assert "MB" in found["files.before_restore"]["sentence"]
    assert found["tmsdash.W004"]["level"] == "wrong"  # people reach the site


def test_databases_that_are_gone_damaged_or_of_another_version(findings):
    var = findings.folder / "var"
    (var / "app.db").unlink()
    (var / "jobs.db").write_bytes(b"this was a database once" * 1000)
    with closing(sqlite3.connect(var / "audit.db")) as session:
        session.execute("DELETE FROM django_migrations WHERE app = 'audit' AND name > '0020'")
        session.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('audit', '0999_later', '2026-01-01')"
        )
        session.commit()
    found = findings()
    assert "'default'" in found["database.missing"]["sentence"]
    assert found["database.missing"]["mend"].startswith("manage.py restore ")
    assert "'jobs'" in found["database.broken"]["sentence"]
    assert found["database.broken"]["mend"].startswith("manage.py restore ")
    assert "audit (audit.00" in found["database.unmigrated"]["sentence"]
    assert found["database.unmigrated"]["mend"] == "manage.py migrate_all"
    assert "0999_later" in found["database.newer"]["sentence"]


def test_a_damaged_page_of_a_database_and_keys_that_are_missing_or_of_another_site(findings):
    file = findings.folder / "var" / "jobs.db"
    content = bytearray(file.read_bytes())
    for page in range(20, 30):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    file.write_bytes(content)
    (file.parent / "token_key").unlink()
    (file.parent / "secret_key").write_text("x" * 60)
    found = findings()
    assert "'jobs'" in found["database.broken"]["sentence"]
    assert "token_key" in found["key.missing"]["sentence"]
    assert "token_key" in found["key.missing"]["mend"]
    assert "SECRET_KEY is not this site's" in found["key.other"]["sentence"]


def test_a_server_of_postgresql_that_is_away_is_named_without_its_password(findings):
    [port] = free_ports(1)
    found = findings(
        env=f"AUDIT_DATABASE_URL=postgres://u:secret-4711@127.0.0.1:{port}/audit\n"
        "JOBS_DATABASE_URL=postgres://u:secret-4711@nowhere.invalid/jobs\n"
        "DATABASE_URL=postgres://u:secret-4711@nowhere.invalid/jobs\n"
    )
    assert "three different" in found["database.same"]["mend"]
    assert found["database.name"]["mend"].startswith("Correct the host in JOBS_DATABASE_URL")
    assert f"127.0.0.1, port {port}" in found["database.away"]["sentence"]
    assert "systemctl start postgresql" in found["database.away"]["mend"]
    assert "secret-4711" not in str(found)


def test_where_nothing_is_yet_nothing_is_made(tmp_path):
    ended = run_python("manage.py", "doctor", "--json", var_dir=tmp_path / "var")
    assert (ended.returncode, list(tmp_path.iterdir())) == (1, [])
    assert '"id": "var_dir.missing"' in ended.stdout
    assert "database.missing" not in ended.stdout  # which follows from it, as does the next one
    assert "key.missing" not in ended.stdout
