"""README, docs/, CONTRIBUTING and SECURITY: what they name exists, and what exists and has to be named is."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from tmsdash import env
from tmsdash.tests.tools import run_python

ROOT = Path(settings.BASE_DIR)
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in [*TOP, *ROOT.glob("docs/*.md")]
}
MOST_LINES_OF_README = 150
# Variables that are no settings: of commands, make and the demo, of the examples, and of other programs.
NO_SETTINGS = {
    *("TMS_TOKEN", "HOST", "PORT", "TMS_PORT", "DEMO_ONCE", "LOCK_OPTIONS", "ARGS"),
    *("DASHBOARD_URL", "DASHBOARD_USER", "DASHBOARD_PASSWORD", "DASHBOARD_CA", "CLUSTER_URL"),
    *("WITNESS_URL", "WITNESS_PUBLIC_KEY"),  # of a unit
    *("HTTP_PROXY", "REQUESTS_CA_BUNDLE"),
    *("LISTEN_FDS", "LISTEN_PID"),  # systemd's
}
OF_DJANGO = {"--help", "--version"}

every_page = pytest.mark.parametrize("name", PAGES)


def anchors(text):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(text):
    """The lines of fenced blocks, continued ones as one line, and the code spans."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [*lines, *(span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", rest))]


@cache
def options_of(command):
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


def commands_in(text):
    """Each command that a page names, with the options that stand behind it."""
    for code in code_of(text):
        for part in re.split(r"#|[|;&>]| -- ", code):
            named = re.search(r"(?:manage\.py|tms-dashboard) ([a-z]\w*)", part)
            words = part.split()
            command = named[1] if named else words[0] if words and words[0] in get_commands() else None
            if command:
                yield command, set(re.findall(r"(?<=\s)--[a-z][a-z-]*", part))


def tables_first_column(text):
    return re.findall(r"^\| ((?:`[^`]+`(?:, )?)+)", text, re.MULTILINE)


@every_page
def test_every_link_leads_to_something(name):
    folder = (ROOT / name).parent
    links = re.findall(r"\]\(([^)\s]+)\)", PAGES[name])
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_of_docs_is_in_the_table_of_the_readme():
    for name in PAGES:
        assert name == "README.md" or f"]({name})" in PAGES["README.md"], name


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= MOST_LINES_OF_README


@every_page
def test_every_command_that_is_named_exists_and_has_the_options(name):
    for command, options in commands_in(PAGES[name]):
        assert command in get_commands(), command
        assert options <= options_of(command), (command, options)


def test_commands_are_named_on_the_pages():
    """Else the test above would look at nothing; those that only adapt Django's own need no words."""
    named = {command for text in PAGES.values() for command, _ in commands_in(text)}
    ours = {
        command for command, app in get_commands().items() if str(app) in ("tmsdash", "audit", "jobs", "setactions")
    }
    assert ours - named <= {"migrate", "dbshell"}


@every_page
def test_every_option_that_stands_alone_is_some_commands(name):
    known = OF_DJANGO.union(*(options_of(command) for command in get_commands()))
    alone = {word for code in code_of(PAGES[name]) for word in [code.split(" ")[0]] if word.startswith("--")}
    assert alone <= known


def test_the_table_of_the_batch_command_has_all_its_options_and_no_others():
    usual = options_of("migrate_all") - {"--noinput", "--new-installation"}  # Django's
    chapter = PAGES["docs/batches.md"].partition("## By a command")[2].partition("\n## ")[0]
    listed = {word for cell in tables_first_column(chapter) for word in re.findall(r"--[a-z-]+", cell)}
    assert listed == options_of("set_action_batch") - usual


def test_the_page_of_settings_has_each_setting_once_and_no_others():
    cells = tables_first_column(PAGES["docs/settings.md"])
    listed = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert len(set(listed)) == len(listed)
    assert set(listed) == env.read_names


def test_the_defaults_on_the_page_of_settings_are_those_of_an_empty_environment(tmp_path):
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", PAGES["docs/settings.md"], re.MULTILINE)
    code = "import json; from tmsdash import settings; print(json.dumps(vars(settings), default=str))"
    actual = json.loads(run_python("-c", code, var_dir=tmp_path).stdout)
    compared = []
    for names, defaults in rows:
        for name, default in zip(re.findall(r"`(\w+)`", names), re.findall(r"`(\w+)`", defaults), strict=False):
            if default in ("true", "false") or default.isdecimal():
                compared.append(name)
                assert str(actual[name]).lower() == default, name
    assert len(compared) > 12


@every_page
def test_every_setting_that_is_named_exists(name):
    words = {
        match[1] for code in code_of(PAGES[name]) if (match := re.match(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b", code))
    }
    assert words <= env.read_names | NO_SETTINGS


def test_every_setting_of_the_example_exists():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    names = set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.MULTILINE))
    assert len(names) > 5
    assert names <= env.read_names


@every_page
def test_every_file_that_is_named_exists(name):
    for code in code_of(PAGES[name]):
        if re.fullmatch(
            r"(setactions|jobs|audit|tmsdash|templates|docs|deploy|\.ci)/[\w./*-]*", code.partition("::")[0]
        ):
            assert list(ROOT.glob(code.partition("::")[0].rstrip("/"))), code


@every_page
def test_every_target_of_make_that_is_named_exists(name):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {match[1] for code in code_of(PAGES[name]) if (match := re.search(r"(?:^|\s)make ([a-z]+)", code))}
    assert named <= targets
