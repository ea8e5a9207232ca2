"""Posts notices to NOTIFY_WEBHOOK_URL, signed as the Standard Webhooks specification has it.

The receiver takes a notice by answering 2xx within DEADLINE_S. No redirect is followed, nothing is taken from the
environment, and nothing of an answer but its status is looked at.
"""

import base64
import hashlib
import hmac
import time
from http.client import HTTPException

from django.conf import settings
from django.views.decorators.debug import sensitive_variables

from setactions.operations.notifications import tls
from setactions.tms.unsent import reason_of
from tmsdash.exchange import exchange

CONNECT_S = 5.0  # for each address of the host, and for each step of the handshake
DEADLINE_S = 10.0  # for the request and its answer


@sensitive_variables()
def send(notice_id: str, content: str) -> str:
    """Post a notice, once; return why the receiver did not take it, "" if it did."""
    body, timestamp = content.encode(), str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "tms-dashboard",
        "webhook-id": notice_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(settings.NOTIFY_WEBHOOK_KEY, notice_id, timestamp, body),
    }
    url, context = settings.NOTIFY_WEBHOOK_URL, tls.context()
    try:
        answer = exchange("POST", url, headers, body, context=context, connect_s=CONNECT_S, deadline_s=DEADLINE_S)
        status = answer.status
    except TimeoutError:
        return f"The webhook did not answer within {DEADLINE_S:g} s."
    except (OSError, HTTPException) as error:
        return f"The webhook cannot be reached: {reason_of(error)}."
    if 200 <= status < 300:
        return ""
    what = "redirects, which is not followed" if 300 <= status < 400 else f"answered HTTP {status}"
    return f"The webhook {what}."


@sensitive_variables()
def signature(key: bytes, notice_id: str, timestamp: str, body: bytes) -> str:
    """Return what the header webhook-signature holds."""
    signed = b".".join([notice_id.encode(), timestamp.encode(), body])
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
