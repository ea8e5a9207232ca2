"""What a new password may not be, beyond Django's rules: longer than any real one, or easy to guess for anybody here.

There are no rules about kinds of characters, and a password may be all digits: length and being hard to guess are what
counts. Passwords that exist are not looked at.
"""

import re
import unicodedata
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

MAXIMUM_LENGTH = 1024
# Words of the product; names of clusters and hosts come from the site.
PRODUCT_WORDS = (
    *("tms", "tmsdash", "dashboard", "dash", "setaction", "setactions", "action", "actions", "cluster", "clusters"),
    *("operator", "operators", "auditor", "auditors", "audit", "administrator", "admin", "customer", "customers"),
    *("job", "jobs", "batch", "batches", "token", "transbegin", "peenable", "tenable", "pefinalize", "pedirect"),
)
COMMON_WORDS = ("password", "passwort", "passwd", "pass", "secret", "welcome", "login", "letmein", "changeme", "the")
DECORATION_LETTERS, DECORATION_DIGITS = 4, 8  # no more than these add little to known words: "x2026!", a date
RUNS = ("abcdefghijklmnopqrstuvwxyz", "0123456789" * 3, "qwertyuiopasdfghjklzxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm")
_SUBSTITUTED = str.maketrans("0134578@$!|", "oleastbasil")


class MaximumLengthValidator:
    """Accepts up to MAXIMUM_LENGTH characters, far more than anybody types."""

    @sensitive_variables()
    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > MAXIMUM_LENGTH:
            message = f"This password is too long. It may have at most {MAXIMUM_LENGTH:,} characters."
            raise ValidationError(message, code="password_too_long")

    def get_help_text(self) -> str:
        return "It may be as long as you like, with any characters, blanks included, and may be pasted."


class GuessableValidator:
    """Refuses a decorated word of this site, a common password with digits, a run of keys, or a repetition."""

    @sensitive_variables()
    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > MAXIMUM_LENGTH:
            return  # another validator reports it
        plain = unicodedata.normalize("NFKC", password).casefold()
        name = (user.get_username() or "").casefold() if user is not None else ""
        if name and (name in plain if len(name) > 2 else name == plain):
            raise ValidationError("This password holds your user name.", code="password_holds_name")
        if _is_of_known_words(plain) or _is_common_with_decoration(plain):
            why = "it is a word of this site, or a common one, with little added to it."
        elif _is_run_or_repetition(plain):
            why = "it repeats itself or follows the keyboard or the alphabet."
        else:
            return
        raise ValidationError(f"This password is easily guessed: {why}", code="password_guessable")

    def get_help_text(self) -> str:
        return (
            "It may not contain your user name, nor be the name of this site, of a cluster or another common word with "
            "only digits and signs added. A few unrelated words work well."
        )


def _site_words() -> list[str]:
    """Return the letters of this site's words, longest first."""
    names = [*settings.ALLOWED_HOSTS, *settings.TMS_CLUSTERS, *settings.TMS_CLUSTERS.values()]
    own = {part for name in names for part in re.split(r"[^a-z]+", name.casefold())}
    own |= {re.sub(r"[^a-z]", "", name.casefold()) for name in settings.TMS_CLUSTERS}
    return sorted({word for word in own | {*PRODUCT_WORDS, *COMMON_WORDS} if len(word) > 2}, key=len, reverse=True)


def _is_of_known_words(plain: str) -> bool:
    """Tell whether only decoration is left once the site's words are removed, also when spelt like t0k3n."""
    words = _site_words()
    for spelling in (plain, plain.translate(_SUBSTITUTED)):
        left = letters = "".join(character for character in spelling if character.isalpha())
        for word in words:
            left = left.replace(word, "")
        digits = sum(character.isdigit() for character in spelling)
        if left != letters and len(left) <= DECORATION_LETTERS and digits <= DECORATION_DIGITS:
            return True
    return False


def _is_common_with_decoration(plain: str) -> bool:
    """Tell whether the password is a common one, surrounded by digits and punctuation."""
    stem = plain.strip("".join({character for character in plain if not character.isalpha()}))
    added = sum(character.isdigit() for character in plain) - sum(character.isdigit() for character in stem)
    return added <= DECORATION_DIGITS and bool({stem, stem.translate(_SUBSTITUTED)} & _common_passwords())


@cache
def _common_passwords() -> set[str]:
    passwords: set[str] = CommonPasswordValidator().passwords
    return passwords


def _is_run_or_repetition(plain: str) -> bool:
    bare = "".join(character for character in plain if character.isalnum())
    if bare and any(bare in run or bare in run[::-1] for run in RUNS):
        return True
    return plain in (plain + plain)[1:-1]
