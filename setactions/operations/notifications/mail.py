"""Sends notices as plain mail to NOTIFY_EMAIL, through the server of EMAIL_URL."""

import json
import smtplib
import socket
import ssl
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.utils.functional import cached_property
from django.views.decorators.debug import sensitive_variables

from setactions.operations.notifications import tls
from setactions.tms.unsent import reason_of

TIMEOUT_S = 10  # of each piece of the conversation
DEADLINE_S = 60.0  # of all of it, which is less than a notice is leased for


class _Backend(EmailBackend):
    conversation: Any = None
    """The connection, from before the server has said anything."""

    @property
    def connection_class(self) -> Any:
        backend = self

        class Conversation(super().connection_class):  # type: ignore[misc]
            def connect(self, *args: Any, **kwargs: Any) -> Any:
                backend.conversation = self
                return super().connect(*args, **kwargs)

        return Conversation

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        return tls.context()


@sensitive_variables()
def send(notice_id: str, content: str) -> str:
    """Mail a notice, once; return why the server did not take it, "" if it did."""
    message, is_over = _message(notice_id, json.loads(content)), threading.Event()
    deadline = threading.Timer(DEADLINE_S, _hang_up, (message.connection, is_over))  # ends slow drips, too
    deadline.daemon = True
    deadline.start()
    try:
        problem = _sent(message)
    finally:
        deadline.cancel()
    return f"The mail server took longer than {DEADLINE_S:g} s." if problem and is_over.is_set() else problem


def _sent(message: EmailMessage) -> str:
    try:
        message.send()
    except smtplib.SMTPAuthenticationError:
        return "The mail server does not accept user and password of EMAIL_URL."
    except smtplib.SMTPRecipientsRefused:
        return "The mail server refused all addresses of NOTIFY_EMAIL."
    except smtplib.SMTPResponseException as error:
        return f"The mail server refused (SMTP {error.smtp_code})."
    except smtplib.SMTPServerDisconnected:
        return "The mail server closed the connection."
    except smtplib.SMTPException as error:
        return f"The mail server cannot be used ({type(error).__name__})."
    except OSError as error:
        return f"The mail server cannot be reached: {reason_of(error)}."
    return ""


def _hang_up(backend: _Backend, is_over: threading.Event) -> None:
    is_over.set()
    connection: socket.socket | None = getattr(backend.conversation, "sock", None)
    with suppress(OSError):
        if connection:
            connection.shutdown(socket.SHUT_RDWR)


def _message(notice_id: str, notice: dict[str, Any]) -> EmailMessage:
    server: Any = settings.MAIL_SERVER  # settings.py sees to it that there is one
    host = settings.NOTIFY_EMAIL_FROM.partition("@")[2]
    site = urlsplit(notice["site"]).netloc or "this site"
    lines = [notice["summary"], "", notice["link"], "", f"{notice['type']}, {notice['time']}, notice {notice_id}"]
    return EmailMessage(
        subject=f"[TMS Dashboard] {notice['summary']}"[:150],
        body="\n".join([*lines, f"Sent by TMS Dashboard of {site} to the addresses of NOTIFY_EMAIL.", ""]),
        from_email=settings.NOTIFY_EMAIL_FROM,
        to=settings.NOTIFY_EMAIL,
        # The same for each try, so that mail programs show one that was sent twice once.
        headers={"Message-ID": f"<{notice_id}@{host}>", "Auto-Submitted": "auto-generated"},
        connection=_Backend(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.use_tls,
            use_ssl=server.use_ssl,
            timeout=TIMEOUT_S,
        ),
    )
