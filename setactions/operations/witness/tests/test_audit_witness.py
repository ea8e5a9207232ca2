"""The command audit_witness, over real HTTP, against the product and against what pretends to be one."""

import json
import os
import re
import shutil
import threading

import pytest
from django.core.management import CommandError, call_command

from audit import chain
from audit.models import Attempt, AttemptCustomer, AuditEntry, ChainHead, MerkleTile, StoredCheckpoint
from audit.tests.making import make_attempt, tampering
from audit.tests.sealing import run
from audit.transparency.notes import parse_many
from audit.transparency.signing_key import known_public_keys
from audit.transparency.tests.logs import AT, Log
from setactions.management.commands import audit_witness as command
from setactions.operations.witness import outcome
from setactions.operations.witness import site as remote
from setactions.operations.witness.tests.conftest import TOKEN, serving
from tmsdash.tests.tools import free_ports, run_python

pytestmark = pytest.mark.pages


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "witness"


@pytest.fixture
def witness(site, authority, folder):
    """A function that runs the command against the site; returns its exit code and all that it printed."""

    def look(*arguments, url=site):
        return run(
            "audit_witness", f"--url={url}", f"--folder={folder}", f"--ca-bundle={authority[0].file}", *arguments
        )

    return look


@pytest.fixture
def sealed(audited, empty_seal_dir):
    """An audit that was sealed; the option with its public key."""
    assert run("audit_seal")[0] == 0
    return f"--public-key={known_public_keys()[0]}"


def rewrite_history(settings):
    """Put another history into the place of the audit, with all its keys in hand: the product finds nothing wrong."""
    with tampering() as cursor:
        for model in (AttemptCustomer, Attempt, AuditEntry, ChainHead, MerkleTile, StoredCheckpoint):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
        chain.begin()
    shutil.rmtree(settings.AUDIT_SEAL_DIR)
    for number in range(6):
        make_attempt(cids=(f"forged{number}",))
        make_attempt(cids=(f"forged{number}",))
    assert run("audit_seal")[0] == 0
    assert run("audit_verify")[0] == 0


def test_a_rewritten_history_is_refused_even_if_the_forger_holds_every_key_of_the_site(
    sealed,
    witness,
    folder,
    settings,
    mail,
    tmp_path,
):
    metrics = f"--metrics={tmp_path / 'witness.prom'}"
    code, output = witness(sealed, metrics)
    assert (code, "The first checkpoint was taken: 9 entries" in output) == (0, True), output
    assert run("audit_seal")[0] == 0
    assert "which continue what was taken before" in witness()[1]
    kept = (folder / "witness.txt").read_bytes()
    assert [checkpoint.size for checkpoint in parse_many(kept.decode())] == [9, 11]

    on_the_site = ("audit_verify", f"--witness={folder / 'witness.txt'}")
    assert run(*on_the_site)[0] == 0

    rewrite_history(settings)
    assert run(*on_the_site)[0] == 3
    assert StoredCheckpoint.objects.order_by("size").last().size > 11
    for file in (metrics, metrics, f"--metrics={tmp_path / 'none' / 'x.prom'}"):
        code, output = witness(file)
        assert code == 3
        assert "HISTORY WAS REWRITTEN" in output
        assert "begin again with a new folder" in output
    assert (folder / "witness.txt").read_bytes() == kept
    evidence = (folder / "rewritten.txt").read_text()
    assert all(checkpoint.note.rstrip() in evidence for checkpoint in StoredCheckpoint.objects.order_by("-size")[:1])
    assert kept.decode().rpartition("\n\n— ")[0].rpartition("\n\n")[2] in evidence
    samples = (tmp_path / "witness.prom").read_text()
    named = re.findall(r"tms_dashboard_witness_\w+", (settings.BASE_DIR / "deploy/prometheus-alerts.yml").read_text())
    assert set(named) <= set(re.findall(r"^# TYPE (\w+) gauge$", samples, re.MULTILINE))
    assert samples.partition("tms_dashboard_witness_rewritten{")[2].splitlines()[0].endswith(" 1.0")
    assert (tmp_path / "witness.prom").stat().st_mode & 0o777 == 0o644
    [sent] = mail.mails  # once, not at each look
    assert "HISTORY WAS REWRITTEN" in sent.replace("=\r\n", "")
    assert "To: ops@example.org, night@example.org" in sent


def test_json_says_what_was_taken_and_what_not(sealed, witness):
    code, output = witness(sealed, "--json", "-v0")
    facts = json.loads(output)
    assert (code, facts["outcome"], facts["size"], facts["undone"]) == (0, "taken", 9, [])
    assert json.loads(witness("--json")[1])["outcome"] == "nothing new"
    assert witness("-v0") == (0, "")


def test_it_runs_where_nothing_is_but_the_product(sealed, site, authority, tmp_path):
    nowhere = tmp_path / "var"
    options = [f"--url={site}", f"--folder={tmp_path / 'w'}", f"--ca-bundle={authority[0].file}", sealed]
    ended = run_python("manage.py", "audit_witness", *options, var_dir=nowhere, AUDIT_WITNESS_TOKEN=TOKEN)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "The first checkpoint was taken" in ended.stdout
    assert not nowhere.exists()
    assert {
        path.name: oct(path.stat().st_mode) for path in (tmp_path / "w").iterdir() if path.stat().st_mode & 0o077
    } == {}


def test_whoever_cannot_be_asked_is_named_with_the_next_step(sealed, witness, site, authority, settings, tmp_path):
    [port] = free_ports(1)
    for url, words in {
        f"https://127.0.0.1:{port}": "cannot be reached: Connection refused",
        site.replace("127.0.0.1", "localhost"): "certificate is not accepted",
        f"{site}/tms": "has no such address. Check --url",
        site.replace("https", "http"): "cannot be reached",
    }.items():
        code, output = witness(sealed, url=url)
        assert (code, words in output) == (1, True), output
    token = tmp_path / "token"
    token.write_text("another-0123456789abcdef")
    token.chmod(0o600)
    code, output = witness(sealed, f"--token-file={token}")
    assert (code, "AUDIT_WITNESS_TOKEN has to be the same" in output) == (1, True)
    assert "another-0123456789abcdef" not in output
    code, output = witness()
    assert (code, "give the site's public key with --public-key" in output) == (1, True)
    for options, words in {
        ("--url=http://dash.example",): "https: the token crosses",
        ("--url=https://user@dash.example",): "without user",
        ("--url=https://dash.example:x",): "Write --url as",
        ("--url=https://dash.example/?a=b",): "Write --url as",
        (f"--url={site}", f"--ca-bundle={tmp_path / 'none.pem'}"): "--ca-bundle cannot be used: No such file",
        (f"--url={site}", f"--ca-bundle={token}"): "no certificates in PEM",
        (f"--url={site}", "--public-key=a+b+c"): "audit_keys shows it",
        (f"--url={site}", "--public-key=nothing"): "cannot be read",
    }.items():
        with pytest.raises(CommandError, match=words):
            call_command("audit_witness", *options, f"--folder={tmp_path / 'unused'}")
    assert not (tmp_path / "unused").exists()


ANSWERS = {
    "a redirect": ("302 Found", [("Location", "https://elsewhere.example/")], b"", "redirects, which is not followed"),
    "an error": ("503 Busy", [], b"", "is busy, or does not work just now"),
    "a page": ("200 OK", [], b"<html>", "is no checkpoint"),
    "no text": ("200 OK", [], b"\xff\xfe", "does not answer as a site does"),
    "too much": ("200 OK", [], b"x" * (remote.MOST_BYTES + 1), "does not answer as a site does"),
    "half an answer": ("200 OK", [("Content-Length", "100")], b"tms", "connection closed before the end"),
    "another's 404": ("404 Gone", [], b'{"errors": []}', "has no such address"),
}


@pytest.mark.parametrize(("status", "headers", "body", "words"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_site_is_not_believed(tmp_path, settings, folder, status, headers, body, words):
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    asked = []

    def application(environ, start_response):
        asked.append(environ["PATH_INFO"])
        start_response(status, headers)
        return [body]

    with serving(application) as url:
        code, output = run(
            "audit_witness", f"--url={url}/tms", f"--folder={folder}", f"--public-key={Log().public_key}"
        )
    assert (code, words in output) == (1, True), output
    assert asked == ["/tms/api/audit/checkpoint"]
    assert "elsewhere" not in output


def log_site(log, consistency=None):
    """An application that answers as a site with this log does, or with what `consistency` says."""

    def application(environ, start_response):
        if environ["PATH_INFO"].endswith("/checkpoint"):
            answer = log.checkpoint().encode()
        elif consistency:
            answer = consistency[1]
        else:
            old, new = (int(part.partition("=")[2]) for part in environ["QUERY_STRING"].split("&"))
            answer = json.dumps(
                {"from": old, "to": new, "proof": [h.hex() for h in log.consistency(old, new)]}
            ).encode()
        start_response(consistency[0] if consistency and answer == consistency[1] else "200 OK", [])
        return [answer]

    return application


def test_a_site_that_does_not_prove_is_not_taken_and_people_are_told(settings, folder, mail):
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    log = Log("a")

    def look(log, consistency=None):
        with serving(log_site(log, consistency)) as url:
            return run("audit_witness", f"--url={url}", f"--folder={folder}", f"--public-key={log.public_key}")

    assert look(log)[0] == 0
    kept = (folder / "witness.txt").read_bytes()
    more = Log("a", "b", key=log.key)
    deep = b"[" * 50_000
    refused = json.dumps({"errors": {"checkpoint": ["no"]}}).encode()
    for answer, code in {
        ("409 Conflict", refused): 3,
        ("404 Gone", refused): 3,
        ("200 OK", deep): 1,
        ("200 OK", b'{"from": 1, "to": 2, "proof": ["zz"]}'): 1,
        ("200 OK", b'{"from": 1, "to": 3, "proof": []}'): 1,
        ("200 OK", b'{"from": 1, "to": 2, "proof": {}}'): 1,
    }.items():
        ended, output = look(more, answer)
        assert (ended, "Traceback" in output) == (code, False), output
    assert (folder / "witness.txt").read_bytes() == kept
    assert len(mail.mails) == 1
    assert "does not prove" in mail.mails[0].replace("=\r\n", "")
    assert look(more)[0] == 0  # it was no evidence of anything
    assert look(more, ("409 Conflict", refused))[0] == 0  # nothing new, so nothing is asked


def test_a_slow_site_is_given_up(settings, folder, monkeypatch):
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    monkeypatch.setattr(remote, "DEADLINE_S", 0.2)
    over = threading.Event()

    def application(environ, start_response):
        start_response("200 OK", [])
        over.wait(60)
        return [b""]

    with serving(application) as url:
        code, output = run("audit_witness", f"--url={url}", f"--folder={folder}", f"--public-key={Log().public_key}")
        over.set()
    assert (code, "did not answer within 0.2 s" in output) == (1, True)


def test_people_are_told_of_a_silent_site_after_a_day_and_again_until_somebody_took_it(mail, monkeypatch):
    silent = outcome.Outcome(outcome.UNASKED, "The site cannot be reached.")
    memory = outcome.Memory().after(outcome.Outcome(outcome.SAME, ""), AT)

    def later(hours):
        nonlocal memory
        at = AT + outcome.timedelta(hours=hours)
        memory, problems = outcome.tell(memory.after(silent, at), silent, "https://dash.example", at)
        return len(mail.mails), problems

    assert later(23) == (0, {})
    mail.refuses = "RCPT"
    assert later(25)[1] == {"mail": "The mail server refused all addresses of NOTIFY_EMAIL."}
    mail.refuses = ""
    assert [later(hours)[0] for hours in (26, 27, 49, 51)] == [1, 1, 1, 2]
    assert "https://dash.example" in mail.mails[0]


def test_people_are_told_of_a_site_that_has_shown_nothing_new_for_a_day(sealed, witness, folder, mail, monkeypatch):
    assert witness(sealed)[0] == 0
    monkeypatch.setattr(command, "SILENT_AFTER", outcome.timedelta())
    for _ in range(2):
        code, output = witness()
        assert (code, "Nothing new since" in output) == (0, True)
    [sent] = mail.mails
    assert "Does the site still run audit_seal?" in sent.replace("=\r\n", "")
    assert run("audit_seal")[0] == 0
    assert "Taken: 11 entries" in witness()[1]
    assert json.loads((folder / "state.json").read_text())["told"] == ""


def test_whoever_sets_it_up_can_try_whether_mail_arrives(settings, tmp_path, mail):
    options = ("audit_witness", "--test", "--url=https://dash.example", f"--folder={tmp_path / 'w'}")
    assert run(*options) == (0, "mail: the test notice was taken.\n")
    assert "of dash.example" in mail.mails[0]
    mail.refuses = "RCPT"
    assert run(*options) == (1, "mail: The mail server refused all addresses of NOTIFY_EMAIL.\n")
    settings.NOTIFY_EMAIL = []
    with pytest.raises(CommandError, match="Nobody is to be told"):
        call_command(*options)
    assert not (tmp_path / "w").exists()


def test_what_could_not_be_written_or_told_is_named(sealed, witness, tmp_path, mail):
    code, output = witness(sealed, f"--metrics={tmp_path / 'none' / 'x.prom'}")
    assert (code, "x.prom.new cannot be written: No such file" in output, "was taken" in output) == (1, True, True)
    kept = tmp_path / "witness" / "witness.txt"
    kept.write_bytes(kept.read_bytes()[:-9] + b"AAAAAAA=\n")
    code, output = witness("--json")
    assert (code, "Put the copies" in output, '"size": null' in output) == (1, True, True)


def test_a_history_is_not_taken_for_the_first_one_when_what_was_taken_is_gone(sealed, witness, folder):
    assert witness(sealed)[0] == 0
    kept = (folder / "witness.txt").read_bytes()
    (folder / "witness.txt").write_bytes(b"")
    code, output = witness(sealed)
    assert (code, "holds no checkpoint, but one was taken. Put its copy back" in output) == (1, True)
    assert (folder / "witness.txt").read_bytes() == b""
    (folder / "witness.txt").write_bytes(kept)
    assert witness(sealed)[0] == 0


def test_what_it_remembers_may_be_lost_or_spoilt(tmp_path):
    file = tmp_path / "state.json"
    assert outcome.Memory.read(file) == outcome.Memory()
    for text in ("", "[]", '{"x": 1}', '{"told_at": "yesterday"}', "[" * 9_000):
        file.write_text(text)
        assert outcome.Memory.read(file) == outcome.Memory()
    kept = outcome.Memory(AT.isoformat(), AT.isoformat(), outcome.UNPROVEN, AT.isoformat())
    file.write_text(kept.as_json())
    assert outcome.Memory.read(file) == kept


def test_a_folder_that_cannot_be_used_is_named_and_so_is_a_missing_token(settings, tmp_path):
    with pytest.raises(CommandError, match="Set AUDIT_WITNESS_TOKEN"):
        call_command("audit_witness", "--url=https://dash.example", f"--folder={tmp_path / 'unused'}")
    settings.AUDIT_WITNESS_TOKEN = TOKEN
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=f"{tmp_path}/file cannot be used"):
        call_command("audit_witness", "--url=https://dash.example", f"--folder={tmp_path / 'file'}")
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208
