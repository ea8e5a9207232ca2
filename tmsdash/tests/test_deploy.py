"""deploy/ and docs/install.md: what they name exists, and they agree with each other and with the product."""

import configparser
import re
import shlex
import shutil
import subprocess

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands

from setactions.management.commands import serve
from tmsdash import env
from tmsdash.server import open_files
from tmsdash.tests.test_documentation import options_of

ROOT = settings.BASE_DIR
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "local" / "lib" / "systemd" / "system"
WITNESS = DEPLOY / "witness" / "lib"
SITE = "/opt/tms-dashboard/current"
INSTALL = (ROOT / "docs" / "install.md").read_text()
MOST_THREADS = 512  # of WEB_THREADS
CONFINING = re.compile(r"Protect|Private|NoNew|Restrict|SystemCall|Capability|UMask|Lock|MemoryDeny")
NO_SETTINGS = {"ENV_FILE", "HOME", "PATH"}


def unit(name):
    """A unit with what its drop-ins say, each option as the list of its values."""
    parser = configparser.RawConfigParser(strict=False, dict_type=Collected, delimiters="=", comment_prefixes="#")
    parser.optionxform = str
    dropins = [*UNITS.glob(f"{name}.d/*")]
    if name.startswith("tms-dashboard-") and name.endswith(".service"):
        dropins += UNITS.glob("tms-dashboard-.service.d/*")
    parser.read_string("\n".join(file.read_text() for file in (UNITS / name, *dropins)))
    return parser


class Collected(dict[str, str]):
    """Keeps all values of an option that is written several times, as systemd does; each on a line."""

    def __setitem__(self, name, value):
        if isinstance(value, list) and isinstance(self.get(name), list):
            value = [*self[name], *value]
        super().__setitem__(name, value)


def values(name, option, section="Service"):
    return unit(name).get(section, option, fallback="").split()


def names(kind):
    return sorted(file.name for file in UNITS.glob(f"*.{kind}"))


def environment_of(text):
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", text, re.MULTILINE))


def command_line(name):
    [program, *words] = shlex.split(unit(name).get("Service", "ExecStart"))
    if program == "/bin/sh":  # in the folder that is the working one
        [program, *words] = shlex.split(words[1].removeprefix("exec ").replace("$$(pwd -P)", SITE))
    return program, words


@pytest.mark.systemd
def test_systemd_accepts_all_units(tmp_path):
    """In a folder where the programs exist, and with the drop-ins."""
    root = tmp_path / "root"
    for program in ("bin/sh", f"{SITE[1:]}/.venv/bin/python", f"{SITE[1:]}/.venv/bin/celery"):
        file = root / program
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", file)
    for folder in (UNITS, WITNESS / "systemd" / "system"):
        shutil.copytree(folder, root / "etc/systemd/system", dirs_exist_ok=True)
    for target in ("sysinit", "basic", "shutdown", "network-online", "multi-user", "sockets", "timers", "time-sync"):
        (root / f"etc/systemd/system/{target}.target").write_text("[Unit]\nDescription=Of the system\n")
    for slice_name in ("system.slice", "-.slice"):
        (root / f"etc/systemd/system/{slice_name}").write_text("[Unit]\nDescription=Of the system\n")
    ours = [name for kind in ("service", "socket", "timer") for name in names(kind)]
    ours += ["tms-dashboard-witness.service", "tms-dashboard-witness.timer"]
    verify = ["systemd-analyze", "verify", "--man=no", f"--root={root}", *ours]
    ended = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_each_service_runs_a_command_of_the_product():
    commands = []
    for name in names("service"):
        program, words = command_line(name)
        assert unit(name).get("Service", "WorkingDirectory") == SITE
        if program.endswith("/celery"):
            assert words[:3] == ["-A", "tmsdash", "worker"]
            continue
        assert program == f"{SITE}/.venv/bin/python"
        assert words[0] == "manage.py"
        commands.append(words[1])
        assert {word for word in words if word.startswith("--")} <= options_of(words[1])
    assert sorted(commands) == [
        "audit_seal",
        "audit_stream",
        "audit_verify",
        "backup",
        "clearsessions",
        "reconcile",
        "serve",
    ]
    assert set(commands) <= set(get_commands())


def test_each_service_is_confined_and_may_write_where_the_site_does():
    folders = dict(
        re.findall(r"^d (\S+) +(\d+)", (DEPLOY / "local/lib/tmpfiles.d/tms-dashboard.conf").read_text(), re.M)
    )
    given = dict(re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "env").read_text(), re.M))
    [user] = re.findall(r"^u (\S+)", (DEPLOY / "local/lib/sysusers.d/tms-dashboard.conf").read_text(), re.M)
    for name in names("service"):
        assert values(name, "User") == [user]
        assert values(name, "ProtectSystem") == ["strict"]
        assert values(name, "NoNewPrivileges") == ["yes"]
        assert values(name, "UMask") == ["0077"]
        assert given["VAR_DIR"] in values(name, "ReadWritePaths")
        assert {folders[path] for path in values(name, "ReadWritePaths")} == {"0700"}
        # Whoever writes to SQLite takes turns with other processes by semaphores of the kernel.
        assert values(name, "PrivateIPC") == values(name, "RemoveIPC") == []
    assert given["AUDIT_SEAL_DIR"] in values("tms-dashboard-seal.service", "ReadWritePaths")
    assert command_line("tms-dashboard-backup.service")[1][-1] in values(
        "tms-dashboard-backup.service", "ReadWritePaths"
    )


def test_the_witness_has_its_own_user_and_folder_and_is_as_confined_as_the_site(monkeypatch):
    monkeypatch.setattr("tmsdash.tests.test_deploy.UNITS", WITNESS / "systemd" / "system")
    [name] = names("service")
    program, words = command_line(name)
    assert program == f"{SITE}/.venv/bin/python"
    assert words[:2] == ["manage.py", "audit_witness"]
    assert {word for word in words if word.startswith("--")} <= options_of("audit_witness")
    [user] = re.findall(r"^u (\S+)", (WITNESS / "sysusers.d" / "tms-dashboard-witness.conf").read_text(), re.M)
    assert values(name, "User") == values(name, "StateDirectory") == [user]
    assert words[words.index("--folder") + 1] == f"/var/lib/{user}"
    page = (ROOT / "docs" / "audit.md").read_text()
    settings = page.partition("with these lines")[2].partition("```\n")[2].partition("```")[0]
    assert set(re.findall(r"\$\{([A-Z_]+)\}", " ".join(words))) == environment_of(settings) - env.read_names
    assert set(values(name, "EnvironmentFile")) < set(page.split())
    of_witness = dict(unit(name)["Service"])
    monkeypatch.undo()
    confinement = [option for option in unit("tms-dashboard-seal.service")["Service"] if CONFINING.match(option)]
    assert len(confinement) > 15
    for option in confinement:
        assert of_witness[option] == unit("tms-dashboard-seal.service")["Service"][option], option


def test_who_stops_the_server_waits_for_the_calls_and_it_may_open_the_files_that_it_wants():
    longest = serve._call_s() + serve.END_S
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name in ("tms-dashboard.service", "tms-dashboard-worker.service"):
        assert int(unit(name).get("Service", "TimeoutStopSec")) > longest
        assert values(name, "KillMode") == ["mixed"]
    assert int(unit("tms-dashboard.service").get("Service", "LimitNOFILE")) >= open_files.wanted(MOST_THREADS)
    for service in ("server", "worker"):
        assert int(compose["services"][service]["stop_grace_period"].rstrip("s")) > longest
        assert compose["services"][service]["ulimits"]["nofile"] >= open_files.wanted(MOST_THREADS)


def test_the_page_names_every_unit_and_starts_every_timer():
    ours = {name for kind in ("service", "socket", "timer") for name in names(kind)}
    named = set(re.findall(r"tms-dashboard[a-z-]*\.(?:service|socket|timer)", INSTALL))
    assert named <= ours
    assert {name.replace(".timer", ".service") for name in named} == {n.replace(".timer", ".service") for n in ours}
    [enabled] = re.findall(r"^sudo systemctl enable --now ((?:.*\\\n)*.*)$", INSTALL, re.M)
    started = set(enabled.replace("\\\n", " ").split())
    assert started == {*names("timer"), "tms-dashboard.socket", "tms-dashboard.service"}
    for timer in names("timer"):
        assert (UNITS / timer.replace(".timer", ".service")).exists()
        assert values(timer, "Persistent", "Timer") == ["yes"]


def test_every_file_of_deploy_is_named_and_every_one_that_is_named_exists():
    files = {path.relative_to(ROOT).as_posix() for path in DEPLOY.iterdir() if path.name != "secrets"}
    texts = "\n".join(
        path.read_text() for path in (*ROOT.glob("docs/*.md"), ROOT / "Makefile", *DEPLOY.iterdir()) if path.is_file()
    )
    named = {match.rstrip(".") for match in re.findall(r"deploy/[\w.-]+", texts)}
    beside = {"deploy/secrets"}  # made by whoever installs, and ignored by git and by builders
    assert named - beside <= files
    assert files - named <= {"deploy/Containerfile.dockerignore", "deploy/databases.sql"}  # named below


def test_every_setting_of_deploy_exists():
    containers = INSTALL.partition("\ncat >>secrets/env <<END\n")[2].partition("\nEND\n")[0]
    image = re.findall(r"^(?:ENV|   ) ([A-Z_]+)=", (DEPLOY / "Containerfile").read_text(), re.M)
    of_units = {word.partition("=")[0] for name in names("service") for word in values(name, "Environment")}
    assert len(environment_of(containers)) > 5
    assert {"VAR_DIR", "AUDIT_SEAL_DIR"} < set(image)
    given = environment_of(containers) | environment_of((DEPLOY / "env").read_text())
    assert given <= env.read_names
    assert {*image, *of_units} <= env.read_names | NO_SETTINGS


def test_the_containers_run_commands_of_the_product_and_mount_what_is_there():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert (DEPLOY / services["migrate"]["build"]["context"] / services["migrate"]["build"]["dockerfile"]).is_file()
    assert services["migrate"]["command"][0] in get_commands()
    assert services["worker"]["entrypoint"][:4] == ["celery", "-A", "tmsdash", "worker"]
    image = (DEPLOY / "Containerfile").read_text()
    folders = re.findall(r'"(/[^"]+)"', re.findall(r"^VOLUME (.*)$", image, re.M)[0])
    assert [volume.partition(":")[2] for volume in services["server"]["volumes"]] == folders
    for volume in services["postgresql"]["volumes"]:
        source = volume.partition(":")[0]
        assert source in compose["volumes"] or (DEPLOY / source).is_file()
    databases = set(re.findall(r"^CREATE DATABASE (\w+);$", (DEPLOY / "databases.sql").read_text(), re.M))
    assert databases == set(re.findall(r"@postgresql/(\w+)", INSTALL))
    assert services["postgresql"]["healthcheck"]["test"][-1] in databases
    gateway = compose["networks"]["default"]["ipam"]["config"][0]["gateway"]
    assert f"TRUSTED_PROXIES={gateway}" in INSTALL
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text().splitlines()
    assert {".git", ".env", "deploy/secrets"} <= set(ignored)


def test_the_crontab_of_containers_has_the_commands_of_the_timers():
    lines = re.findall(r"^[\d*].*\$SITE (.*)$", (DEPLOY / "crontab").read_text(), re.M)
    of_timers = {" ".join(command_line(name.replace(".timer", ".service"))[1][1:]) for name in names("timer")}
    assert {line.replace(" -v0", "") for line in lines} == of_timers


def test_the_folders_on_the_page_are_those_that_are_made():
    made = set(re.findall(r"^d (\S+)", (DEPLOY / "local/lib/tmpfiles.d/tms-dashboard.conf").read_text(), re.M))
    table = INSTALL.partition("| this makes | |\n")[2].partition("\n\n")[0]
    assert made == {name for name in re.findall(r"`(/[^`]+)`", table) if not name.startswith("/usr/local")}


def test_the_command_runs_manage_py_with_the_settings_of_the_units(tmp_path):
    """As the user of the site, which everybody here is by name; others are sent to sudo."""
    tools, python = tmp_path / "tools", tmp_path / ".venv" / "bin" / "python"
    for file, text in ((tools / "id", 'printf "%s" "$AS"'), (python, 'printf "%s " "$ENV_FILE" "$@"; umask')):
        file.parent.mkdir(parents=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    command = (DEPLOY / "local/bin/tms-dashboard").read_text()
    assert SITE in command

    def run(user, *words):
        return subprocess.run(
            ["/bin/sh", "-c", command.replace(SITE, str(tmp_path)), "tms-dashboard", *words],
            env={"PATH": f"{tools}:/usr/bin:/bin", "AS": user},
            capture_output=True,
            text=True,
            check=False,
        )

    [of_units] = {values(name, "Environment")[0] for name in names("service")}
    [user] = {values(name, "User")[0] for name in names("service")}
    place = of_units.removeprefix("ENV_FILE=")
    assert run(user, "backup", "a folder").stdout == f"{place} {tmp_path}/manage.py backup a folder 0077\n"
    assert "Run it with sudo" in run("somebody", "backup").stderr
