"""How notices are sent: signed, until they are taken, under one id, and without anybody waiting for it."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from datetime import timedelta
from email import message_from_string

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.models import F
from django.test import Client

from audit.choices import Kind
from audit.tests.making import make_attempt
from setactions.operations.notifications import mail as mail_module
from setactions.operations.notifications import outbox, watcher
from setactions.operations.notifications import webhook as webhook_module
from setactions.operations.notifications.events import Event
from setactions.operations.notifications.outbox import RETRIES_S, Failing
from setactions.operations.notifications.tests.conftest import KEY
from setactions.operations.notifications.tests.receivers import MailServer, running
from setactions.operations.notifications.watcher import Watcher
from setactions.tms.tests.listening import Authority, listening
from tmsdash.db import clock
from tmsdash.models import Notice, NoticeWatch
from tmsdash.notice_settings import MailServer as Server
from tmsdash.tests.killing import KilledError
from tmsdash.tests.tools import at_once, free_ports, table_missing, until

pages = pytest.mark.pages


@pytest.fixture
def notice():
    """Write a notice that is due."""

    def write(channel="webhook"):
        event, now = Event("batch.done", "The batch of olivia is done.", "/batches/1/"), clock.now("default")
        content = outbox.content_of(event, now)
        return Notice.objects.create(
            notice_id=event.notice_id, channel=channel, kind=event.kind, content=content, created_at=now, due_at=now
        )

    return write


def later():
    """Let the time come at which everything is due."""
    Notice.objects.filter(due_at__isnull=False).update(due_at=F("created_at"))


@pages
def test_a_notice_is_posted_once_with_a_signature_that_anybody_with_the_key_can_check(webhook, notice):
    written = notice()
    assert outbox.send_due() == (1, [])
    assert outbox.send_due() == (0, [])
    [(path, headers, body)] = webhook.taken
    assert path == "/hook/a-secret-path?team=1"
    assert json.loads(body)["id"] == headers["webhook-id"] == str(written.notice_id)
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - clock.now("default").timestamp()) < 60


@pages
def test_the_check_that_the_guide_shows_takes_what_is_sent_and_nothing_else(webhook, notice, settings):
    page = (settings.BASE_DIR / "docs/monitoring.md").read_text(encoding="utf-8")
    shown = {}
    exec(page.partition("```python\n")[2].partition("```")[0], shown)  # noqa: S102 (of our own page)
    notice()
    outbox.send_due()
    [(_, headers, body)] = webhook.taken
    assert shown["is_genuine"](KEY, headers, body)
    assert not shown["is_genuine"](KEY, headers, body + b" ")
    assert not shown["is_genuine"](b"another key", headers, body)
    assert not shown["is_genuine"](KEY, headers | {"webhook-timestamp": "1614265330"}, body)


@pages
def test_the_signature_is_that_of_the_specification():
    """Its own example, whose key is written as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = webhook_module.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_that_fails_gets_the_same_notice_until_it_takes_it(webhook, notice, monkeypatch):
    monkeypatch.setattr(webhook_module, "DEADLINE_S", 0.3)
    webhook.answers = [500, 302, "drip", 204]
    written = notice()
    problems = []
    for _ in range(3):
        assert outbox.failing().count == (1 if problems else 0)
        sent, told = outbox.send_due()
        problems += told
        assert (sent, outbox.send_due()) == (0, (0, []))  # it is not due yet
        later()
    assert problems == [
        "The webhook answered HTTP 500.",
        "The webhook redirects, which is not followed.",
        "The webhook did not answer within 0.3 s.",
    ]
    assert outbox.send_due() == (1, [])
    assert {headers["webhook-id"] for _, headers, _ in webhook.taken} == {str(written.notice_id)}
    assert {path for path, _, _ in webhook.taken} == {"/hook/a-secret-path?team=1"}
    assert outbox.failing() == Failing(0, 0.0)


def test_no_receiver_waits_longer_for_another_one_than_a_round(webhook, mail, notice):
    for _ in range(3):
        notice()
        notice("mail")
    assert outbox.send_due(round_s=-1) == (2, [])
    assert (len(webhook.taken), len(mail.mails)) == (1, 1)
    assert outbox.send_due() == (4, [])


def test_waits_get_longer_and_after_a_day_a_notice_is_given_up_with_a_line(webhook, notice, settings, caplog):
    settings.NOTIFY_WEBHOOK_URL = f"http://127.0.0.1:{free_ports(1)[0]}/a-secret-path"
    written = notice()
    waits = []
    for _ in range(len(RETRIES_S) + 1):
        assert outbox.send_due()[1] == ["The webhook cannot be reached: Connection refused."]
        written.refresh_from_db()
        waits.append((written.due_at - clock.now("default")).total_seconds() if written.due_at else None)
        later()
    assert [None if wait is None else round(wait / 60) for wait in waits] == [*(s / 60 for s in RETRIES_S), None]
    assert 22 * 3600 < sum(RETRIES_S) <= 24 * 3600
    assert outbox.send_due() == (0, [])
    assert "[NOTIFY] FAILED: given up after 8 tries" in caplog.text
    assert outbox.failing().count == 0
    assert "a-secret-path" not in caplog.text + written.problem


def test_one_that_is_killed_after_sending_leaves_at_most_the_same_notice_once_more(webhook, notice, monkeypatch):
    notice()

    def die(*_):
        raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(outbox, "_settle", die)
        with pytest.raises(KilledError):
            outbox.send_due()
    assert outbox.send_due() == (0, [])  # leased
    later()
    assert outbox.send_due() == (1, [])
    assert len({headers["webhook-id"] for _, headers, _ in webhook.taken}) == 1
    assert len({body for _, _, body in webhook.taken}) == 1
    assert len(webhook.taken) == 2


def test_of_two_who_want_to_send_a_notice_one_does(webhook, notice, monkeypatch):
    notice()
    both, write_transaction, first = threading.Barrier(2, timeout=30), outbox.write_transaction, threading.local()

    def after_both_have_read(*arguments):
        if not hasattr(first, "is_over"):
            first.is_over = True
            both.wait()
        return write_transaction(*arguments)

    monkeypatch.setattr(outbox, "write_transaction", after_both_have_read)

    def send(_):
        try:
            return outbox.send_due()[0]
        finally:
            connections.close_all()

    assert sorted(at_once(2, send)) == [0, 1]
    assert len(webhook.taken) == 1


@pages
def test_mail_names_the_site_and_keeps_its_id(mail, notice):
    written = notice("mail")
    assert outbox.send_due() == (1, [])
    [message] = map(message_from_string, mail.mails)
    assert message["Subject"] == "[TMS Dashboard] The batch of olivia is done."
    assert message["Message-ID"] == f"<{written.notice_id}@dashboard.example>"
    assert (message["From"], message["To"]) == (
        "tms-dashboard@dashboard.example",
        "ops@example.org, night@example.org",
    )
    assert "https://dashboard.example/batches/1/" in message.get_payload()


@pages
@pytest.mark.parametrize(
    ("command", "problem"),
    [("RCPT", "refused all addresses of NOTIFY_EMAIL"), ("MAIL", "refused (SMTP 550)"), ("DATA", "refused (SMTP 550)")],
)
def test_a_mail_server_that_refuses_is_told_in_words_and_asked_again(mail, notice, command, problem):
    mail.refuses = command
    notice("mail")
    sent, [told] = outbox.send_due()
    assert (sent, problem in told) == (0, True)
    assert outbox.failing().count == 1


@pages
@pytest.mark.parametrize("command", ["CONNECT", "MAIL"])
def test_a_mail_server_that_never_comes_to_an_end_is_hung_up_on(mail, notice, monkeypatch, command):
    monkeypatch.setattr(mail_module, "DEADLINE_S", 0.2)
    mail.drips = command
    notice("mail")
    assert outbox.send_due() == (0, ["The mail server took longer than 0.2 s."])


@pages
def test_servers_need_a_certificate_that_is_trusted(databases, notice, settings, tmp_path):
    authority = Authority(tmp_path)
    pem = authority.issue()
    settings.NOTIFY_EMAIL, settings.NOTIFY_EMAIL_FROM = ["ops@example.org"], "tms-dashboard@dashboard.example"
    settings.NOTIFY_WEBHOOK_KEY = KEY
    with listening(pem, status=200) as webhook, running(MailServer()) as mail:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        mail.socket = context.wrap_socket(mail.socket, server_side=True, do_handshake_on_connect=False)
        settings.NOTIFY_WEBHOOK_URL = f"https://127.0.0.1:{webhook.server_port}/"
        settings.MAIL_SERVER = Server("127.0.0.1", mail.server_address[1], "", "", use_tls=False, use_ssl=True)
        notice()
        notice("mail")
        sent, problems = outbox.send_due()
        assert (sent, webhook.requests, mail.mails) == (0, [], [])
        assert problems == [
            "The webhook cannot be reached: unable to get local issuer certificate.",
            "The mail server cannot be reached: unable to get local issuer certificate.",
        ]
        settings.TMS_CA_BUNDLE = str(authority.file)
        later()
        assert outbox.send_due() == (2, [])
        assert (len(webhook.requests), len(mail.mails)) == (1, 1)


def test_a_channel_that_was_switched_off_keeps_nothing_waiting(webhook, mail, notice, settings):
    notice("mail")
    settings.NOTIFY_EMAIL = []
    assert outbox.send_due() == (0, [])
    assert Notice.objects.get().problem == "This channel was switched off."


def test_each_channel_gets_each_event_and_a_stand_by_tells_nobody(webhook, mail, settings):
    make_attempt(Kind.UNKNOWN)
    settings.TMS_PASSIVE = True
    assert (outbox.write_news(), outbox.send_due()) == (0, (0, []))
    assert NoticeWatch.objects.count() == 0
    settings.TMS_PASSIVE = False
    assert (outbox.write_news(), outbox.send_due()) == (1, (2, []))
    assert (len(webhook.taken), len(mail.mails)) == (1, 1)


# -- Who sends ------------------------------------------------------------------------------------------------------


def test_the_thread_of_a_server_sends_whatever_happened_to_it_before(webhook, monkeypatch, caplog):
    monkeypatch.setattr(watcher, "LOOK_EVERY_S", 0.01)
    failures = iter([ValueError("x")])
    write_news = outbox.write_news

    def write_or_fail():
        for failure in failures:
            raise failure
        return write_news()

    monkeypatch.setattr(outbox, "write_news", write_or_fail)
    make_attempt(Kind.UNKNOWN)
    with table_missing("default", "tmsdash_noticewatch"), Watcher():
        until(lambda: "a database cannot be used" in caplog.text)
    assert "[NOTIFY] EXCEPTION" in caplog.text
    with Watcher() as thread:
        until(lambda: webhook.taken)
    thread.join()
    assert json.loads(webhook.taken[0][2])["type"] == "attempts.in_doubt"


@pages
def test_a_server_that_tells_nobody_has_no_such_thread(databases):
    with Watcher():
        assert "notify" not in {thread.name for thread in threading.enumerate()}


def run(*arguments):
    """Run the command; return its exit code."""
    try:
        call_command("notify", *arguments)
    except SystemExit as end:
        return end.code
    return 0


@pages
def test_the_command_says_what_it_sent_and_what_not(webhook, mail, capsys):
    make_attempt(Kind.UNKNOWN)
    webhook.answers = [503]
    assert run() == 2
    assert capsys.readouterr().out == (
        "New: 1 event. Sent: 1 notice.\nThe webhook answered HTTP 503. It is tried again.\n"
    )
    later()
    assert run() == 0
    mail.refuses = "MAIL"
    assert run("--test") == 2
    assert capsys.readouterr().out.splitlines()[1:] == [
        "webhook: the test notice was taken.",
        "mail: The mail server refused (SMTP 550).",
    ]
    assert json.loads(webhook.taken[-1][2])["type"] == "test"


@pages
def test_the_command_names_what_is_missing(databases, settings, webhook):
    settings.TMS_PASSIVE = True
    with pytest.raises(CommandError, match="a stand-by sends nothing"):
        run("--test")
    settings.TMS_PASSIVE, settings.NOTIFY_WEBHOOK_URL = False, ""
    with pytest.raises(CommandError, match="set NOTIFY_WEBHOOK_URL with NOTIFY_WEBHOOK_KEY"):
        run("--test")


# -- Who is told that nobody can be told ------------------------------------------------------------------------------


@pages
def test_health_and_metrics_tell_of_notices_that_cannot_be_sent(webhook, notice, settings):
    settings.METRICS_TOKEN = "scrape-0123456789abcdef"
    webhook.answers = [500]
    notice()
    outbox.send_due()

    def told(path):
        return Client().get(path, headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"}).content.decode()

    assert "notices_failing 1.0" in told("/metrics")
    assert "degraded" not in told("/health")
    Notice.objects.update(created_at=F("created_at") - timedelta(minutes=16))
    assert "1 notice could not be sent, the oldest for 16 minutes." in told("/health")
    settings.NOTIFY_WEBHOOK_URL = ""
    assert "notices_failing 0.0" in told("/metrics")
