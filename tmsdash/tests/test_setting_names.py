"""Settings that are misspelt are named, in the environment and in the file."""

import pytest

from tmsdash.tests.tools import KEYS, run_python

FOREIGN = (
    *("HTTPS_PROXY", "https_proxy", "SESSION_MANAGER", "XDG_SESSION_ID", "WEB_CONCURRENCY", "NOTIFY_SOCKET"),
    *("HOST", "PORT", "TMS_PORT", "DEMO_ONCE", "HOME", "USER", "DATABASE_CLEANER", "SECRET_SERVICE", "GIT_DIR"),
    *("DEBUGINFOD_URLS", "VIRTUAL_ENV", "HOSTNAME", "TOKENIZERS_PARALLELISM", "XAUTHORITY", "SSH_AUTH_SOCK"),
)


@pytest.fixture
def complaints(tmp_path):
    """What `manage.py check` says of an environment and a file."""

    def run(text="", **environment):
        (tmp_path / "env").write_text(text)
        ended = run_python("manage.py", "check", var_dir=tmp_path, ENV_FILE=str(tmp_path / "env"), **environment)
        assert ended.returncode == 0
        return [line.partition("(tmsdash.W007) ")[2] for line in ended.stderr.splitlines() if "tmsdash.W007" in line]

    return run


MEANT = {
    "TMS_CLUSTER": "TMS_CLUSTERS",
    "TMS_DEADLINE": "TMS_DEADLINE_S",
    "ALOWED_HOSTS": "ALLOWED_HOSTS",
    "ALLOWED_HOST": "ALLOWED_HOSTS",
    "SECRETKEY": "SECRET_KEY",
    "AUDIT_KEYS": "AUDIT_KEY",
    "SESSION_IDLE": "SESSION_IDLE_S",
    "WEB_THREAD": "WEB_THREADS",
    "DATABASE_URI": "DATABASE_URL",
    "HTTP_ONLY": "HTTPS_ONLY",
    "tms_clusters": "TMS_CLUSTERS",
    "TRUSTED_PROXY": "TRUSTED_PROXIES",
}


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(complaints):
    expected = [f"{name} is no setting of this product, and does nothing. Is {MEANT[name]} meant?" for name in MEANT]
    assert sorted(complaints(**dict.fromkeys(MEANT, "hunter2-hunter2"))) == sorted(expected)


def test_what_begins_like_ours_is_named_even_if_it_is_like_none(complaints):
    [line] = complaints(TMS_QQQQQQ="1")
    assert line.startswith("TMS_QQQQQQ is no setting of this product")


def test_every_unknown_name_of_the_file_is_named_with_its_line(complaints, tmp_path):
    lines = complaints("# ours\nTMS_DEADLINE_S=5\n\nexport WEB_THREADS=3\nDEADLINE=7\nTMS_TOKEN=x\nPORT=1\n")
    assert lines == [
        f"DEADLINE ({tmp_path}/env, line 5) is no setting of this product, and does nothing. Is TMS_DEADLINE_S meant?"
    ]


def test_variables_of_others_and_settings_that_are_right_are_not_named(complaints):
    assert complaints(**dict.fromkeys(FOREIGN, "x"), **KEYS, TMS_PASSIVE="true", TMS_TOKEN="x") == []


@pytest.mark.parametrize("line", ["DATABASE_URL='abc", 'SECRET_KEY=abc"', "TMS_DEADLINE_S=5 # five", "DEBUG=\"true'"])
def test_a_value_that_is_taken_otherwise_than_it_looks_stops_the_start_and_is_not_shown(tmp_path, line):
    (tmp_path / "env").write_text(f"WEB_THREADS=3\n{line}\n")
    ended = run_python("manage.py", "check", var_dir=tmp_path, ENV_FILE=str(tmp_path / "env"))
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert ended.stderr.startswith(f"TMS Dashboard cannot start. {tmp_path}/env: line 2: ")
    assert line.partition("=")[2] not in ended.stderr
