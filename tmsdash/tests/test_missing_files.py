"""Files that are not there: what only reads makes none, and an old installation is not begun anew by mistake."""

import shutil

import pytest

from tmsdash.tests.tools import KEYS, install, run_python

SEAL_KEY = {"AUDIT_KEY": KEYS["AUDIT_KEY"]}
READERS = {
    "showmigrations": ["--list"],
    "migrate": ["--plan"],
    "audit_verify": [],
    "audit_keys": [],
    "audit_seal": [],
    "audit_export": ["--since", "2026-01-01", "--until", "2026-01-02"],
    "audit_archive": ["--before", "2026-01-01"],
    "reconcile": [],
    "rebuild_lists": [],
    "site_keys": [],
    "fill_demo_data": [],
    "backup": ["backups"],
    "import_legacy": ["--jobs-db", "none.db", "--audit-db", "none.db", "--time-zone", "UTC"],
    "set_action_batch": ["-", "--user", "olivia", "--cluster", "evian3", "--action", "PE-Enable", "--yes"],
    "createsuperuser": ["--noinput", "--username", "adam", "--email", "a@example.org"],
    "changepassword": ["adam"],
    "clearsessions": [],
    "axes_reset": [],
    "shell": ["-c", "from jobs.models import Job; Job.objects.count()"],
    "dbshell": [],
    "dumpdata": [],
    "inspectdb": [],
    "restore": ["no-backup", "--yes"],
}
BEFORE_THE_CHAIN = [
    "migrate",
    "audit",
    "0003_facts_without_attempt",
    "--database",
    "audit",
    "--discard",
    *(f"audit_auditentry.{column}" for column in ("key_id", "mac", "previous_mac", "sequence")),
    "audit_chainhead",
    "audit_storedcheckpoint",
]
# As earlier versions sealed, which noted nothing in the chain.
SEAL = (
    "from audit.models import ChainHead; from audit.proof.seals import write_seal; write_seal(ChainHead.objects.get())"
)
OTHER_FILES = {"restore": "is no backup", "import_legacy": "There is no file none.db."}
# Of Django's own: what does without tables, or says in its own words that one is missing.
WITHOUT_TABLES = {"showmigrations", "migrate", "inspectdb", "dbshell", "dumpdata", *OTHER_FILES}


@pytest.fixture
def run(tmp_path):
    """A command of an installation in a folder, by default one that is not there."""

    def run(*arguments, folder="none", **environment):
        seals = {"AUDIT_SEAL_DIR": str(tmp_path / "seals")}
        return run_python("manage.py", *arguments, var_dir=tmp_path / folder, **(seals | environment))

    return run


@pytest.mark.sqlite
@pytest.mark.parametrize("command", READERS)
def test_what_only_reads_makes_no_database_no_key_and_no_folder(run, tmp_path, command):
    """Under a VAR_DIR that is mistyped, by itself and with keys that come from elsewhere."""
    arguments = [str(tmp_path / "backups") if word == "backups" else word for word in READERS[command]]
    says_what_to_do = OTHER_FILES.get(command, "run manage.py migrate_all")
    for environment in ({}, KEYS):
        ended = run(command, *arguments, **environment, TMS_CLUSTERS="evian3=http://127.0.0.1:1")
        assert ended.returncode
        assert "Traceback" not in ended.stderr
        assert ("there is no key file" if not environment else says_what_to_do) in ended.stderr + ended.stdout
        assert not (tmp_path / "none").exists()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.sqlite
@pytest.mark.parametrize("command", [name for name in READERS if name not in WITHOUT_TABLES])
def test_databases_without_tables_are_named_with_what_to_do(run, tmp_path, command):
    (tmp_path / "var").mkdir()
    files = [tmp_path / "var" / f"{name}.db" for name in ("app", "jobs", "audit")]
    for file in files:
        file.touch(mode=0o600)
    ended = run(command, *READERS[command], folder="var", **KEYS, TMS_CLUSTERS="evian3=http://127.0.0.1:1")
    assert ended.returncode
    assert "Traceback" not in ended.stderr
    if command.startswith("audit_"):
        assert f"database audit: The file {files[2]} has no bytes" in ended.stderr + ended.stdout
        assert ended.returncode == 3
    else:
        assert "Run manage.py migrate_all first." in ended.stderr
    assert [file.stat().st_size for file in files] == [0, 0, 0]


@pytest.mark.sqlite
@pytest.mark.parametrize("command", ["reconcile", "rebuild_lists", "audit_verify --jobs", "backup b"])
def test_one_database_that_is_missing_is_named_with_what_to_do(run, installed, command):
    (installed / "var" / "jobs.db").unlink()
    ended = run(*command.split(), folder="var", **SEAL_KEY)
    assert ended.returncode
    assert "Traceback" not in ended.stderr
    assert f"{installed}/var/jobs.db" in ended.stderr + ended.stdout
    assert "run manage.py migrate_all" in ended.stderr + ended.stdout


@pytest.mark.sqlite
def test_what_is_missing_from_a_database_without_tables_is_named_with_what_to_do(run, installed):
    (installed / "var" / "app.db").write_bytes(b"")
    ended = run("audit_verify", "--jobs", folder="var", **SEAL_KEY)
    assert ended.returncode == 3
    assert "schema: The databases are not up to date. Run manage.py migrate_all first." in ended.stdout


@pytest.mark.sqlite
def test_a_missing_database_is_named_with_what_to_do(run, tmp_path):
    ended = run("showmigrations", **KEYS)
    assert ended.stderr.strip() == (
        f"The file {tmp_path}/none/app.db is not there. If this is a new installation, run manage.py migrate_all; "
        "if not, look at VAR_DIR and the settings of the databases."
    )


@pytest.mark.sqlite
def test_the_shell_of_a_database_that_is_not_there_makes_no_file(run, installed):
    (installed / "var" / "jobs.db").unlink()
    ended = run("dbshell", "--database", "jobs", "--", "SELECT 1", folder="var", **SEAL_KEY)
    assert (ended.returncode, "jobs.db is not there" in ended.stderr) == (1, True)
    assert not (installed / "var" / "jobs.db").exists()


def test_what_looks_at_no_installation_runs_without_one_and_makes_nothing(run, tmp_path):
    for arguments in (["check"], ["makemigrations", "--check", "--dry-run"], ["audit_verify", "--help"], ["--version"]):
        ended = run(*arguments)
        assert (ended.returncode, "Traceback" in ended.stderr) == (0, False)
    assert list(tmp_path.iterdir()) == []


def test_a_server_with_a_wrong_var_dir_does_not_start_and_makes_nothing(run, tmp_path):
    ended = run("serve", "--port", "1")
    assert (ended.returncode, "there is no key file" in ended.stderr) == (1, True)
    ended = run_python("-c", "import tmsdash.wsgi", var_dir=tmp_path / "none")
    assert (ended.returncode, "there is no key file" in ended.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


# -- Old installations --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder of an installation with a seal, whose key of the audit is in the environment."""
    folder = tmp_path_factory.mktemp("old")
    install(folder / "var", **SEAL_KEY)
    environment = SEAL_KEY | {"AUDIT_SEAL_DIR": str(folder / "seals")}
    assert run_python("manage.py", "shell", "-c", SEAL, var_dir=folder / "var", **environment).returncode == 0
    return folder


@pytest.fixture
def installed(old, tmp_path):
    """A copy of that installation's folders."""
    shutil.copytree(old, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.sqlite
@pytest.mark.parametrize("name", ["secret_key", "token_key"])
def test_no_key_is_made_for_databases_that_are_there(run, installed, name):
    (installed / "var" / name).unlink()
    for command in (["migrate_all"], ["serve"], ["audit_verify"], ["restore", "--yes", "x"]):
        ended = run(*command, folder="var", **SEAL_KEY)
        assert ended.returncode == 1
        assert f"{name.upper()}: the key file {installed}/var/{name} is missing" in ended.stderr
        assert not (installed / "var" / name).exists()


@pytest.mark.sqlite
def test_a_key_file_that_holds_something_else_is_named(run, installed):
    (installed / "var" / "token_key").write_bytes(b"\xff\xfe" * 40)
    ended = run("audit_verify", folder="var", **SEAL_KEY)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert f"TOKEN_KEY: {installed}/var/token_key does not hold a key" in ended.stderr


@pytest.mark.sqlite
def test_the_lost_key_of_the_audit_is_asked_for_and_a_new_value_goes_on(run, installed):
    ended = run("migrate_all", folder="var")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "AUDIT_KEY: the key file" in ended.stderr
    assert "give AUDIT_KEY a new value" in ended.stderr
    assert run("migrate_all", "-v0", folder="var", **SEAL_KEY).returncode == 0


@pytest.mark.sqlite
def test_an_installation_from_before_the_chain_gets_the_key_that_it_never_had(run, installed):
    """By what may make keys, and by nothing else."""
    migrated = run(*BEFORE_THE_CHAIN, folder="var", **SEAL_KEY)
    assert migrated.returncode == 0
    for command in ("audit_verify", "serve"):
        ended = run(command, folder="var")
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
        assert "run manage.py migrate_all" in ended.stderr
    assert not (installed / "var" / "audit_key").exists()
    shutil.rmtree(installed / "seals")  # there were none then
    assert run("migrate_all", "-v0", folder="var").returncode == 0
    assert (installed / "var" / "audit_key").exists()
    assert run("audit_verify", folder="var").returncode == 0


@pytest.mark.sqlite
def test_an_audit_without_a_chain_is_not_taken_for_an_empty_one(run, installed):
    """It was migrated back to before the chain, and its seals are there still."""
    for command in (BEFORE_THE_CHAIN, ["migrate_all", "-v0"], ["audit_verify"]):
        assert run(*command, folder="var", **SEAL_KEY).returncode == 0


def emptied(installed):
    shutil.rmtree(installed / "var")
    (installed / "var").mkdir()


@pytest.mark.sqlite
def test_an_empty_folder_beside_seals_of_its_key_is_refused(run, installed):
    emptied(installed)
    for command in ("migrate_all", "migrate", "serve"):
        ended = run(command, folder="var", **KEYS)
        assert (ended.returncode, "Traceback" in ended.stderr) == (1, False)
        assert "The audit's database is empty" in ended.stderr
        assert "not mounted" in ended.stderr
        assert not list((installed / "var").glob("*.db"))
    assert run("migrate_all", "-v0", "--new-installation", folder="var", **KEYS).returncode == 0
    assert run("migrate_all", "-v0", folder="var", **KEYS).returncode == 0


@pytest.mark.sqlite
def test_seals_of_another_key_keep_no_installation_from_beginning(run, installed):
    emptied(installed)
    assert run("migrate_all", "-v0", folder="var").returncode == 0
