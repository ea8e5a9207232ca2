"""Sends notices as plain mail to NOTIFY_EMAIL, through the server of EMAIL_URL."""

import json
import smtplib
import ssl
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.utils.functional import cached_property
from django.views.decorators.debug import sensitive_variables

from setactions.operations.notifications import tls
from setactions.tms.unsent import reason_of

TIMEOUT_S = 10  # of each step of the conversation


class _Backend(EmailBackend):
    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        return tls.context()


@sensitive_variables()
def send(notice_id: str, content: str) -> str:
    """Mail a notice, once; return why the server did not take it, "" if it did."""
    try:
        _message(notice_id, json.loads(content)).send()
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
