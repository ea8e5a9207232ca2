"""Streams of the audit: every entry reaches the output at least once, in order, or the stream ends and says why."""

import errno
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from audit.actors import Actor
from audit.choices import Kind
from audit.models import AuditEntry, ChainHead
from audit.proof.stored import stored_entries
from audit.services import record_fact
from audit.stream import cursor as cursors
from audit.stream import outputs
from audit.stream.cursor import Cursor, StreamError, carried
from audit.stream.following import Stream
from audit.stream.syslog import TcpSyslog
from audit.tests.making import make_attempt, refuse, tampering
from audit.tests.sealing import back_to_yesterday, day, run
from tmsdash.db.locks import alone
from tmsdash.models import AuditStream
from tmsdash.tests.tools import KEYS, heeding_signals, install, run_python, table_missing, until

pytestmark = pytest.mark.usefixtures("databases")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "audit.jsonl"


def stream(*arguments):
    """What a run that ends at the end of the audit prints."""
    output = StringIO()
    call_command("audit_stream", "--once", *arguments, stdout=output)
    return output.getvalue()


def numbers(text):
    return [json.loads(line)["sequence"] for line in text.splitlines()]


def stored():
    return AuditStream.objects.values_list("sequence", flat=True).get()


def end():
    return ChainHead.objects.get().sequence


# -- What is sent ------------------------------------------------------------------------------------------------------


def test_a_receiver_makes_macs_and_leaves_again_as_the_page_shows(audited, settings):
    """With bodies that no other JSON would hold in the same way, and one that the product never writes."""
    odd = {"é\u2028": "\x00\ud800", "float": 1.10, "long": 10**30, "nested": [{"b": 1, "a": None}]}
    record_fact(Kind.SIGNED_OUT, odd, actor=Actor(user_id="zoë", ip_address=""), wait_s=5)
    with tampering() as sql:
        sql.execute("UPDATE audit_auditentry SET body = %s WHERE sequence = 6", ['{"b": 1,  "a": 2}'])
    page = (settings.BASE_DIR / "docs" / "audit.md").read_text().partition("## Streaming")[2]
    namespace = {}
    exec(re.search(r"^```python\n(.*?)^```$", page, re.M | re.S)[1], namespace)  # noqa: S102 (the page's)
    lines = stream()
    assert lines.isascii()
    before = "0" * 64
    for line, entry in zip(lines.splitlines(), stored_entries(), strict=True):
        told = json.loads(line)
        assert namespace["leaf_of"](told) == entry.leaf
        assert namespace["is_signed"](told, settings.AUDIT_KEY.encode()) is (entry.sequence != 6)
        assert told["previous_mac"] == before
        assert isinstance(told["body"], str) is (entry.sequence == 6)
        before = told["mac"]


def test_a_stream_goes_on_where_it_ended_and_a_new_one_begins_where_it_is_told_to(audited):
    assert numbers(stream()) == list(range(1, end() + 1))
    assert stream() == ""
    refuse(cids=("f6",))
    assert numbers(stream("--from-now")) == [end()]  # that is for new ones
    assert numbers(stream("--name", "other")) == list(range(1, end() + 1))
    assert stream("--name", "new", "--from-now") == ""
    refuse(cids=("g7",))
    assert numbers(stream("--name", "new")) == [end()]


def test_a_stream_that_is_forgotten_begins_anew(audited):
    first = stream("--name", "siem")
    assert run("audit_stream", "--name", "siem", "--forget") == (
        0,
        "The stream siem is forgotten. It was at entry 9.\n",
    )
    with pytest.raises(CommandError, match=r"no stream siem to be forgotten\. Streams: none\."):
        call_command("audit_stream", "--name", "siem", "--forget")
    assert stream("--name", "siem") == first


def test_archived_entries_come_from_the_archives_in_any_folder(old, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("audit.stream.reading.ENTRIES_AT_ONCE", 2)
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    all_of_before = [entry.mac for entry in stored_entries()]
    with carried("behind") as cursor:
        cursor.move(cursors.Position(2, AuditEntry.objects.get(sequence=2).mac))
    assert run("audit_archive", "--before", day(50), "--folder", str(tmp_path / "elsewhere"))[0] == 0
    assert AuditEntry.objects.order_by("sequence").first().sequence == 6
    with pytest.raises(CommandError, match="entries 3 to 5 are neither .* --archives FOLDER") as error:
        stream("--name", "behind")
    assert error.value.returncode == 3
    where = ("--archives", str(tmp_path / "elsewhere"))
    assert numbers(stream("--name", "behind", *where)) == list(range(3, end() + 1))
    lines = stream("--name", "new", *where).splitlines()
    assert [json.loads(line)["mac"] for line in lines][: len(all_of_before)] == all_of_before
    [archive] = (tmp_path / "elsewhere").glob("*.gz")
    archive.write_bytes(archive.read_bytes()[:-30])
    file = tmp_path / "audit.jsonl"
    with pytest.raises(CommandError, match="An archive cannot be streamed"):
        stream("--name", "newer", "--output", str(file), *where)
    assert file.read_text() == ""


# -- What is no history of what was sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [0, 2, 5])
def test_a_replaced_history_is_not_streamed(audited, later):
    with back_to_yesterday():
        make_attempt(Kind.ACCEPTED, cids=("f6",))
        stream()
    for number in range(later):
        refuse(cids=(f"g{number}",))
    with pytest.raises(CommandError, match="(?s)was streamed.*audit_verify.*--forget.*--from-now") as error:
        stream()
    assert error.value.returncode == 3
    assert numbers(stream("--name", "anew")) == list(range(1, end() + 1))


@pytest.mark.parametrize(
    "change", ["DELETE FROM audit_auditentry WHERE sequence = 4", "UPDATE audit_auditentry SET mac = previous_mac"]
)
def test_it_stops_before_an_entry_that_follows_from_none(audited, change, file):
    with tampering() as sql:
        sql.execute(change)
    with pytest.raises(CommandError, match="does not follow from entry") as error:
        stream("--output", str(file))
    assert error.value.returncode == 3
    assert numbers(file.read_text()) == []


# -- One process at a time ---------------------------------------------------------------------------------------------


def test_two_with_one_name_are_refused_here_and_on_another_host(audited):
    with alone("stream-siem", lambda: None):
        with pytest.raises(CommandError, match="on this host carries the stream siem already"):
            stream("--name", "siem")
    with carried("siem") as cursor:
        cursor._renewed -= 60
        cursor.renew()
        AuditStream.objects.update(holder="far:1.2:abc")
        with pytest.raises(StreamError, match="another process carries it now"):
            cursor.move(cursors.Position(9, "m"))
    with pytest.raises(CommandError, match=r"on the host far carries the stream siem.* try again in \d\d s"):
        stream("--name", "siem")
    with pytest.raises(CommandError, match="on the host far"):
        call_command("audit_stream", "--name", "siem", "--forget")
    AuditStream.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    assert len(numbers(stream("--name", "siem"))) == 9
    with carried("siem"):  # its process was killed: the lock is free, the lease has not ended
        pass
    AuditStream.objects.update(held_until=timezone.now() + timedelta(seconds=60))
    assert stream("--name", "siem") == ""


@pytest.mark.parametrize("name", ["", "Siem", "../x", "a" * 33, "a b"])
def test_a_name_that_could_be_no_files_name_is_refused(name):
    with pytest.raises(CommandError, match="up to 32 characters"):
        stream("--name", name)


# -- Files -------------------------------------------------------------------------------------------------------------


def test_what_was_taken_before_the_cursor_moved_is_sent_again(audited, file, monkeypatch):
    def fail(*_):
        raise OperationalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Cursor, "move", fail)
        with pytest.raises(CommandError, match="A database cannot be used. the disk is full"):
            stream("--output", str(file))
    stream("--output", str(file))
    assert numbers(file.read_text()) == [*range(1, 10), *range(1, 10)]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_off_is_written_again_and_no_other_file_is_touched(audited, file, tmp_path):
    file.write_text('{"sequence":0}\n{"sequence":1,"previous_mac":"00')
    stream("--output", str(file))
    assert numbers(file.read_text()) == list(range(10))
    other = tmp_path / "notes"
    other.write_text("mine")
    for path, words in ((other, "none of a stream's"), (tmp_path, "Is a directory"), ("/dev/null", "no regular file")):
        with pytest.raises(CommandError, match=words):
            stream("--output", str(path), "--name", "new")
    assert other.read_text() == "mine"


def test_a_full_disk_leaves_whole_lines_and_the_cursor_where_it_was(audited, file, monkeypatch):
    write = os.write

    def half(descriptor, content):
        if len(content) < 100:
            return write(descriptor, content)  # a signal's
        if file.stat().st_size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(outputs.os, "write", half)
        with pytest.raises(CommandError, match=r"audit\.jsonl: No space left on device"):
            stream("--output", str(file))
    assert (file.read_text(), stored()) == ("", 0)
    stream("--output", str(file))
    assert numbers(file.read_text()) == list(range(1, 10))


def test_a_file_that_is_moved_away_is_made_anew(audited, file, tmp_path):
    waits = iter([lambda: file.rename(tmp_path / "old"), lambda: refuse(cids=("f6",)), file.unlink, lambda: 1])

    def wait(seconds):
        if seconds:
            next(waits)()
            kept.append(numbers(file.read_text()) if file.exists() else None)
        return len(kept) == 4

    kept = []
    with carried("siem") as cursor, closing(outputs.FileOutput(file)) as output:
        Stream(cursor, output).follow(wait)
    assert kept == [None, [], None, []]
    assert numbers((tmp_path / "old").read_text()) == list(range(1, 10))
    assert stored() == 10


# -- What is away, and comes back --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "table"), [("audit", "audit_auditentry"), ("default", "tmsdash_auditstream")], ids=["audit", "accounts"]
)
def test_a_database_that_is_away_is_waited_for_and_told_once(databases, alias, table, file, caplog, audited):
    caplog.set_level(logging.INFO)
    pauses, gone = [], table_missing(alias, table)

    def wait(seconds):
        if seconds:
            pauses.append(seconds)
            if len(pauses) == 1:
                refuse(cids=("f6",))
                gone.__enter__()
            if len(pauses) == 8:
                gone.__exit__(None, None, None)
        return len(pauses) == 9

    with carried("siem") as cursor, closing(outputs.FileOutput(file)) as output:
        Stream(cursor, output).follow(wait)
    assert pauses == [1, 1, 2, 4, 8, 16, 30, 30, 1]
    assert numbers(file.read_text()) == list(range(1, 11))  # none of them twice
    assert [line for line in caplog.messages if "siem waits, because a database" in line] != []
    assert sum("siem" in line for line in caplog.messages) == 3  # begins, waits, goes on


# -- Syslog ------------------------------------------------------------------------------------------------------------


@contextmanager
def server(port=0):
    """A server for syslog of which the system takes what nobody has read yet."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(20)
        yield listener


def messages(connection):
    """The messages of a connection up to now, whose length stands before each."""
    connection.settimeout(0.2)
    text, all_of_them = "", []
    try:
        while part := connection.recv(1 << 20):
            text += part.decode("ascii")
    except TimeoutError:
        pass
    while text:
        length, _, text = text.partition(" ")
        all_of_them.append(text[: int(length)])
        assert len(all_of_them[-1]) == int(length)
        text = text[int(length) :]
    return all_of_them


def test_a_server_gets_messages_of_rfc_5424_behind_their_lengths(audited):
    with tampering() as sql:
        sql.execute("UPDATE audit_auditentry SET kind = 'a b' WHERE sequence = 9")
    with server() as listener:
        stream("--syslog", f"127.0.0.1:{listener.getsockname()[1]}")
        with listener.accept()[0] as connection:
            sent = messages(connection)
    pattern = r"<110>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (\S+) tms-dashboard - ([!-~]{1,32}) - (\{.*\})"
    told = [re.fullmatch(pattern, message) for message in sent]
    entries = [json.loads(match[4]) for match in told]
    assert [entry["sequence"] for entry in entries] == list(range(1, 10))
    assert [match[1] for match in told] == [entry["time"].replace(" ", "T") + "Z" for entry in entries]
    assert [match[3] for match in told][-1] == "ab"


@pytest.mark.parametrize("read", [True, False])
def test_what_a_server_that_went_away_may_not_have_kept_is_sent_again(audited, caplog, read):
    caplog.set_level(logging.INFO)
    steps, received = [], []

    def wait(seconds):
        if not seconds:
            return False
        steps.append(seconds)
        if steps == [1]:  # everything is sent
            with listeners[0], listeners[0].accept()[0] as connection:
                assert not read or len(messages(connection)) == 9
            refuse(cids=("f6",))
        if len(steps) == 4:
            listeners.append(socket.create_server(("127.0.0.1", port)))
        return len(steps) == 5

    with server() as first:
        listeners, port = [first], first.getsockname()[1]
        with carried("siem") as cursor, closing(TcpSyslog("127.0.0.1", port)) as output:
            Stream(cursor, output).follow(wait)
            with listeners[1], listeners[1].accept()[0] as connection:
                received = [json.loads(message.partition(" - {")[2].join("{ ")) for message in messages(connection)]
    assert steps == [1, 1, 2, 4, 1]
    assert [entry["sequence"] for entry in received] == list(range(1, 11))
    assert stored() == 10
    assert sum("waits" in line for line in caplog.messages) == 1
    assert caplog.messages[-1].startswith("[STREAM] siem goes on, after ")


def test_by_tls_it_sends_only_to_a_server_that_is_certified(audited, tmp_path):
    certificate, key = str(tmp_path / "certificate"), str(tmp_path / "key")
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=logs"
    extensions = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "keyUsage=keyCertSign,digitalSignature")
    command = [*made.split(), *extensions, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve():
        with listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as connection:
            return messages(connection)

    with server() as listener, ThreadPoolExecutor() as pool:
        address = ("--syslog", f"127.0.0.1:{listener.getsockname()[1]}", "--tls")
        refusing = pool.submit(serve)
        with pytest.raises(CommandError, match="(?i)certificate verify failed"):
            stream(*address)
        assert isinstance(refusing.exception(), ssl.SSLError)
        assert stored() == 0
        reading = pool.submit(serve)
        stream(*address, "--ca-bundle", certificate)
        assert len(reading.result()) == 9


def test_the_daemon_of_this_host_gets_messages_and_one_that_is_too_long_is_named(audited, tmp_path):
    path = str(tmp_path / "log")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as daemon:
        daemon.bind(path)
        stream("--syslog", path)
        sent = [daemon.recv(1 << 20).decode() for _ in range(9)]
        assert all(message.startswith("<110>tms-dashboard: {") for message in sent)
        make_attempt(cids=[f"customer-{number}" for number in range(20_000)])
        with pytest.raises(CommandError, match=r"Entry 10 has \d{3},\d{3} bytes, more than .*log takes.*--output FILE"):
            stream("--syslog", path)
    assert stored() == 9


@pytest.mark.parametrize(
    "options",
    [
        ["--syslog", "logs.example"],
        ["--syslog", "logs.example:0"],
        ["--syslog", "logs.example:²"],
        ["--syslog", ":514"],
        ["--syslog", "/dev/log", "--tls"],
        ["--tls"],
        ["--syslog", "127.0.0.1:514", "--tls", "--ca-bundle", "/dev/null"],
        ["--syslog", "127.0.0.1:514", "--tls", "--ca-bundle", "/no/such/file"],
        ["--syslog", "127.0.0.1:514", "--ca-bundle", "x"],
    ],
)
def test_options_that_say_nothing_are_refused_before_a_stream_is_made(options):
    with pytest.raises(CommandError, match="--(syslog|tls|ca-bundle)"):
        stream(*options)
    assert not AuditStream.objects.exists()


# -- Real processes ----------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_a_process_ends_in_good_order_and_one_that_is_killed_leaves_nothing_out(tmp_path):
    site, file = tmp_path / "var", tmp_path / "audit.jsonl"
    install(site, **KEYS)
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, "VAR_DIR": str(site)} | KEYS

    def begin():
        return subprocess.Popen(
            [sys.executable, "manage.py", "audit_stream", "--output", str(file)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heeding_signals,
        )

    def export():  # which is an entry
        assert run_python("manage.py", "audit_export", var_dir=site, **KEYS).returncode == 0

    export()
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 0)):
        process = begin()
        export()
        count = 1 + len(file.read_text().splitlines()) if file.exists() else 2
        until(lambda count=count: file.exists() and len(file.read_text().splitlines()) >= count)
        process.send_signal(number)
        _, printed = process.communicate(timeout=60)
        assert (process.returncode, "Traceback" in printed) == (code, False), printed
    sent = numbers(file.read_text())
    assert sorted(set(sent)) == list(range(1, max(sent) + 1))
    assert max(sent) >= 3
