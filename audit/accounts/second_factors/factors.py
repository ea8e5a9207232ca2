"""An account's second factor: setting it up, checking codes, and removing it."""

import base64
import io
import logging
import re
import secrets
import time
from typing import Any
from urllib.parse import quote, urlencode

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.utils import decrypt, encrypt
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from audit.accounts.changes import record_change
from audit.actors import Actor
from tmsdash.db.transactions import write_transaction
from tmsdash.seals import BrokenSealError, is_fresh, open_seal, seal

logger = logging.getLogger(__name__)

MOST_FAILURES = 20
RECOVERY_CODES = 10  # as many as django-allauth makes
PERIOD_S = 30
WAIT_S = 5.0  # for other writers
APP, RECOVERY = "app", "recovery code"
_TOTP, _CODES = Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES
_AT_REST, _ON_PAGE = "audit.accounts.second_factors.at_rest", "audit.accounts.second_factors.on_page"


class Adapter(DefaultMFAAdapter):  # type: ignore[misc]
    """How django-allauth keeps the secrets of factors: sealed."""

    def encrypt(self, text: str) -> str:
        return seal(text, _AT_REST)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret; raises BrokenSealError if TOKEN_KEY is another one than then."""
        secret: str = open_seal(encrypted_text, _AT_REST)[1]
        return secret


def has_factor(user: Any) -> bool:
    """Tell whether a password alone does not sign the account in."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type=_TOTP).exists())


def is_required(user: Any) -> bool:
    """Tell whether an account that signs in with a password has to have a factor."""
    by_setting = {"none": False, "staff": user.is_staff or user.is_superuser, "all": True}
    return bool(by_setting[settings.SECOND_FACTOR_REQUIRED])


def facts(user: Any) -> dict[str, Any]:
    """Return what the page of a factor shows of it."""
    rows = {row.type: row for row in Authenticator.objects.filter(user_id=user.pk)}
    codes = rows.get(_CODES)
    unused = RECOVERY_CODES - int(codes.data["used_mask"]).bit_count() if codes else 0
    return {"factor": rows.get(_TOTP), "unused_codes": unused}


@sensitive_variables()
def check(user: Any, code: str) -> str:
    """Take a code: return APP or RECOVERY, which it is, or "" for one that does not count. Each counts once."""
    with write_transaction("default", WAIT_S):
        rows = {row.type: row for row in Authenticator.objects.select_for_update().filter(user_id=user.pk)}
        factor: Authenticator | None = rows.get(_TOTP)
        if factor is None or is_blocked(factor):
            return ""
        try:
            kind = _kind_of(re.sub(r"[\s-]", "", code), factor, rows.get(_CODES))
        except BrokenSealError:
            logger.error("[SIGN_IN] the second factor of %s was sealed under another TOKEN_KEY: remove it", user)
            return ""
        factor.data["failures"] = 0 if kind else factor.data.get("failures", 0) + 1
        if kind:
            factor.last_used_at = timezone.now()
        factor.save(using="default")
        return kind


def is_blocked(factor: Authenticator) -> bool:
    """Tell whether so many wrong codes came in a row that none is taken."""
    return int(factor.data.get("failures", 0)) >= MOST_FAILURES


@sensitive_variables()
def _kind_of(code: str, factor: Authenticator, codes: Authenticator | None) -> str:
    counter = _counter_of(decrypt(factor.data["secret"]), code)
    if counter is not None and counter > factor.data.get("used", 0):
        factor.data["used"] = counter
        return APP
    return RECOVERY if codes and RecoveryCodes(codes).validate_code(code) else ""


@sensitive_variables()
def _counter_of(secret: str, code: str) -> int | None:
    """Return the period of whose code this is: the present one, or one beside it, for clocks that are a bit off."""
    now = int(time.time()) // PERIOD_S
    for counter in (now, now - 1, now + 1):
        if secrets.compare_digest(format_hotp_value(hotp_value(secret, counter)).encode(), code.encode()):
            return counter
    return None


# -- Setting up and removing ------------------------------------------------------------------------------------------


@sensitive_variables()
def new_secret(user: Any, site: str) -> dict[str, str]:
    """Return what the page that sets a factor up shows: the secret, its picture, and, for the form, its seal."""
    import qrcode  # no other page needs it
    from qrcode.image.svg import SvgPathFillImage

    secret = generate_totp_secret()
    query = urlencode({"secret": secret, "issuer": f"TMS Dashboard {site}"}, quote_via=quote)
    image = io.BytesIO()
    qrcode.make(f"otpauth://totp/{quote(user.get_username())}?{query}", image_factory=SvgPathFillImage).save(image)
    return {
        "secret": " ".join(re.findall(".{1,4}", secret)),
        "picture": f"data:image/svg+xml;base64,{base64.b64encode(image.getvalue()).decode()}",
        "sealed": seal(secret, _ON_PAGE, str(user.pk)),
    }


@sensitive_variables()
def opened_secret(user: Any, sealed: str) -> str:
    """Return the secret that a page of this user showed within the last ten minutes, or ""."""
    try:
        sealed_at, secret = open_seal(sealed, _ON_PAGE, str(user.pk))
    except BrokenSealError:
        return ""
    return str(secret) if is_fresh(sealed_at) else ""


@sensitive_variables()
def add(user: Any, secret: str, code: str, actor: Actor) -> list[str]:
    """Give the account a factor, proven by a code of its app, with its entry in the audit; return the recovery codes.

    Returns none, and nothing is done, if the code is wrong or there is a factor already.
    """
    counter = _counter_of(secret, re.sub(r"\s", "", code))
    if counter is None:
        return []
    with write_transaction("default", WAIT_S):
        account = User.objects.select_for_update().get(pk=user.pk)
        if has_factor(account):
            return []
        data = {"secret": encrypt(secret), "used": counter, "failures": 0}
        Authenticator.objects.create(user=account, type=_TOTP, data=data)
        codes = _new_codes(account)
        record_change(actor, account, "second factor added")
    return codes


@sensitive_variables()
def renew_codes(user: Any, actor: Actor) -> list[str]:
    """Give the account other recovery codes, with their entry in the audit, and return them."""
    with write_transaction("default", WAIT_S):
        account = User.objects.select_for_update().get(pk=user.pk)
        codes = _new_codes(account)
        record_change(actor, account, "recovery codes renewed")
    return codes


@sensitive_variables()
def _new_codes(user: Any) -> list[str]:
    Authenticator.objects.filter(user_id=user.pk, type=_CODES).delete()
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return codes


def remove(user: Any, actor: Actor) -> bool:
    """Take the factor away, with its entry in the audit; False if there was none. The transaction is the caller's."""
    removed = bool(Authenticator.objects.filter(user_id=user.pk).delete()[0])
    if removed:
        record_change(actor, user, "second factor removed")
    return removed
