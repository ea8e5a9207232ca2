"""What looks like a bearer token: it must be neither kept nor shown where something else was asked for."""

import re

REMOVED = "[token removed]"
# eyJ….….… anywhere in a run of its letters. The dots are looked for once, at the start of each run: begun at
# every eyJ, the search would take hours for megabytes of eyJeyJeyJ, and hold up every other thread.
_JWT = re.compile(r"(?<![\w-])(?=[\w-]++\.[\w-]+\.)[\w-]*eyJ[\w-]{5}", re.ASCII)
_DOTTED = re.compile(r"[\w.-]+", re.ASCII)
_RUN = re.compile(r"[^\s,;]+")
# Longer than a UUID, and so longer than any known customer id.
_OPAQUE_LENGTH = 37
SECRET_LENGTH = 16  # shorter tokens are no secrets, and as parts of a text they would match ordinary ids


def looks_like_token(text: str) -> bool:
    """Tell whether `text` holds something in the shape of a JSON Web Token, which is never a customer id."""
    return (
        "eyJ" in text and _JWT.search(text) is not None
    )  # as a rule it is not, and the search is dearer than the look


def without_web_tokens(text: str) -> str:
    """Return `text` without anything in the shape of a JSON Web Token."""
    if not looks_like_token(text):
        return text
    return _DOTTED.sub(lambda run: REMOVED if looks_like_token(run[0]) else run[0], text)


def without_token(text: str, token: str = "") -> str:
    """Return `text` without `token` and anything in the shape of a JSON Web Token; all else stays as it is."""
    if token and (len(token) >= SECRET_LENGTH or text.strip() == token):
        text = text.replace(token, REMOVED)
    return without_web_tokens(text)


def without_tokens(text: str, token: str = "") -> str:
    """Return what somebody typed, fit for somebody else to see: without `token` and anything that may be one.

    That is what has the shape of a JSON Web Token, and any long run of letters and digits: tokens need not have a
    shape. Such a run could also be a customer id of an unusual shape, which is lost here.
    """
    return _RUN.sub(lambda run: REMOVED if _may_be_token(run[0], token) else run[0], text)


def _may_be_token(run: str, token: str) -> bool:
    if token and (run == token or (len(token) >= SECRET_LENGTH and token in run)):
        return True
    is_opaque = len(run) >= _OPAQUE_LENGTH and any(map(str.isdigit, run)) and any(map(str.isalpha, run))
    return is_opaque or looks_like_token(run)
