"""Which names new accounts may have. Existing accounts keep the name that they have, and keep working.

A name stands in the audit for a person. So it has to be one that nobody can mistake for another one:
of one script (a Cyrillic letter can look like a Latin one), not the same but for upper and lower case,
and none under which the product itself writes.
"""

import re
import socket

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError

# "unknown:…" cannot be taken either: a name holds no colon.
RESERVED_NAMES = frozenset({"system", "unknown", "nobody", "anonymous", "anonymoususer", "none", "null"})


def check_new_name(name: str) -> None:
    """Raise ValidationError, with a sentence, if no new account may have this name."""
    check_spelling(name)
    if get_user_model().objects.filter(username__iexact=name).exists():
        raise ValidationError(
            "There is a user with this name already, or one that differs only in upper and lower case.",
            code="user_name_taken",
        )


def check_spelling(name: str) -> None:
    """Raise ValidationError, with a sentence, for a name that could be mistaken for another or is the product's."""
    if not re.fullmatch(r"[A-Za-z0-9.@+_-]{1,150}", name) or not re.search(r"[A-Za-z0-9]", name):
        raise ValidationError(
            "Use letters from A to Z without accents, digits and @ . + - _ only.", code="user_name_not_ascii"
        )
    lower = name.lower()
    if lower in RESERVED_NAMES or lower.endswith(f"@{socket.gethostname().lower()}"):
        raise ValidationError("The product itself uses this name. Choose another one.", code="user_name_reserved")
