"""Accounts from a CSV file: all of them or none, each in the audit, and none with a password that the file holds."""

import csv
import json
import stat
from io import StringIO
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from audit.models import AuditEntry
from tmsdash.commands import os_actor_name
from tmsdash.models import InitialPassword, Session
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing

HEADER = "username,email,first_name,last_name,groups,staff,active"
ROWS = "nadia,nadia@acme.example,Nadia,Berg,Operators,no,yes\nnils,,,,Auditors,yes,"


@pytest.fixture
def run(tmp_path, databases):
    """A function that imports these lines; it returns what is printed, and its errors as CommandError's text."""

    def run(*lines, **options):
        path, printed, problems = tmp_path / "accounts.csv", StringIO(), StringIO()
        path.write_text("\n".join(lines), encoding="utf-8-sig")
        try:
            call_command("import_accounts", str(path), stdout=printed, stderr=problems, **options)
        except CommandError as error:
            return problems.getvalue() + str(error)
        return printed.getvalue()

    return run


def accounts():
    return {
        user.username: (user.email, user.is_staff, user.is_active, *(group.name for group in user.groups.all()))
        for user in User.objects.all()
    }


def test_accounts_are_added_with_initial_passwords_that_only_their_file_holds(run, tmp_path):
    out = tmp_path / "passwords.csv"
    printed = run(HEADER, ROWS, passwords_file=str(out))
    assert accounts() == {
        "nadia": ("nadia@acme.example", False, True, "Operators"),
        "nils": ("", True, True, "Auditors"),
    }
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    passwords = dict(list(csv.reader(StringIO(out.read_text())))[1:])
    assert [*passwords] == ["nadia", "nils"]
    assert not any(password in printed for password in passwords.values())
    assert InitialPassword.objects.count() == 2
    client = Client()
    client.post("/login/", {"username": "nadia", "password": passwords["nadia"]})
    assert client.get("/jobs/")["Location"] == "/password/"
    bodies = [
        json.loads(entry.body) for entry in AuditEntry.objects.order_by("sequence") if entry.user_id == os_actor_name()
    ]
    assert [(body["name"], body["change"], body["after"]["groups"]) for body in bodies] == [
        ("nadia", "added", ["Operators"]),
        ("nils", "added", ["Auditors"]),
    ]
    assert not any(password in entry.body for entry in AuditEntry.objects.all() for password in passwords.values())


def test_running_it_again_changes_nothing_and_another_file_only_what_it_says(run):
    run(HEADER, ROWS, no_password=True)
    assert not User.objects.get(username="nadia").has_usable_password()
    before, entries = [*User.objects.values()], AuditEntry.objects.count()
    assert run(HEADER, ROWS) == "0 added, 0 changed, 2 unchanged.\n"
    assert ([*User.objects.values()], AuditEntry.objects.count()) == (before, entries)
    signed_in(User.objects.get(username="nadia"))
    printed = json.loads(run("Username;Active;Groups", "nadia;no;", "nils;;Auditors", json=True))
    assert printed == {
        "is_done": True,
        "errors": [],
        "added": [],
        "changed": {"nadia": ["is_active", "groups"]},
        "unchanged": 1,
    }
    assert accounts() == {"nadia": ("nadia@acme.example", False, False), "nils": ("", True, True, "Auditors")}
    assert not Session.objects.exists()
    body = json.loads(AuditEntry.objects.latest("sequence").body)
    assert (body["before"]["groups"], body["after"]["groups"], body["fields"]) == (
        ["Operators"],
        [],
        ["is_active", "groups"],
    )


def test_a_dry_run_says_what_would_be_done_and_does_nothing(run):
    printed = run(HEADER, ROWS, dry_run=True)
    assert "nadia: would be added\nnils: would be added\n2 added" in printed
    assert not User.objects.exists()


BAD = {
    "nadia,,,,Operator,,": "Line 2: groups: there is no group 'Operator'. Is Operators meant?",
    "nadia,,,,Operators|Auditors,,": "Line 2: groups: an account in Auditors sends nothing, so leave Operators out",
    "nadia,nobody,,,,,": "Line 2: email: Enter a valid email address.",
    "nadia,,,,,perhaps,": "Line 2: staff: write yes or no, not 'perhaps'.",
    "nädia,,,,,,": "Line 2: Use letters from A to Z without accents",
    "Olivia,,,,,,": "Line 2: There is a user with this name already, or one that differs only in upper and lower case.",
    "nils,,,,,,\nNILS,,,,,,": "Line 3: Line 2 is for the same user.",
    "nadia,,": "Line 2: The line has 3 cells, and the header 7.",
    'nadia,"x,,,,,': "This is no CSV",
    "adam,,,,,,no": "Line 2: adam is a superuser, whom only a superuser changes, in the admin.",
    "nadia,,Na\0dia,,,,": "Line 2: first_name: it holds characters that nobody sees.",
    "nadia,,,Berg\u202e,,,": "Line 2: last_name: it holds characters that nobody sees.",
    f"nadia,,{'x' * 151},,,,": "Line 2: first_name: Ensure this value has at most 150 characters",
    f"nadia,,eyJ{'hbGciOi' * 4}.eyJ{'zdWIi' * 4}.{'c2ln' * 9},,,,": "Line 2: This looks like a bearer token.",
}


@pytest.mark.pages
@pytest.mark.parametrize("row", BAD)
def test_what_is_wrong_is_named_with_its_line_and_nothing_is_done(run, olivia, adam, row):
    before = [*User.objects.order_by("pk").values()]
    said = run(HEADER, row, "zoe,,,,,,", no_password=True)
    assert BAD[row] in said
    assert "Nothing was done. Correct the file" in said
    assert [*User.objects.order_by("pk").values()] == before


@pytest.mark.pages
@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("username,password", "Line 1: The file has a column of passwords, which this command does not take"),
        ("username,superuser", "Line 1: There is no column 'superuser'. The columns are username, email,"),
        ("email", "Line 1: The first line has to name each column once, username among them"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(run, header, says):
    assert says in run(header, "nadia,x")


@pytest.mark.linux
@pytest.mark.pages
def test_a_file_without_an_end_is_refused(databases):
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("import_accounts", "/dev/zero", stderr=StringIO())


def test_all_problems_are_named_also_as_json(databases, tmp_path):
    path, printed = tmp_path / "accounts.csv", StringIO()
    path.write_text(f"{HEADER}\nnadia,x,,,,perhaps,\nnils,,,,Nobody,,\n")
    with pytest.raises(SystemExit) as ended:
        call_command("import_accounts", str(path), json=True, no_password=True, stdout=printed)
    answer = json.loads(printed.getvalue())
    assert (ended.value.code, answer["is_done"], [one["line"] for one in answer["errors"]]) == (1, False, [2, 2, 3])


def test_new_accounts_need_a_place_for_their_passwords(run, tmp_path):
    assert "there is no terminal to show them on. Give --passwords-file OUT" in run(HEADER, ROWS)
    out = tmp_path / "kept.csv"
    out.write_text("kept")
    assert "File exists. Nothing was done." in run(HEADER, ROWS, passwords_file=str(out))
    assert out.read_text() == "kept"
    with patch("django.core.management.base.OutputWrapper.isatty", lambda output: True):
        printed = run(HEADER, ROWS)
    [password] = [line.split("\t")[1] for line in printed.splitlines() if line.startswith("nadia\t")]
    assert User.objects.get(username="nadia").check_password(password)


def test_without_the_audit_no_account_is_made_and_no_password_is_left(run, tmp_path):
    out = tmp_path / "passwords.csv"
    with table_missing("audit", "audit_auditentry"):
        assert "Nothing was done; run the command again." in run(HEADER, ROWS, passwords_file=str(out))
    assert not User.objects.exists()
    assert not out.exists()
