"""Single values of the old dashboard's rows as we understand them, whatever type the old code gave them."""

import json
import re
import uuid
from datetime import timedelta
from typing import Any

from audit.choices import Action
from audit.models import CID_LENGTH
from setactions.operations.legacy.old_files import Row
from setactions.tms.spellings import find_action
from tmsdash.tokens import looks_like_token, without_tokens

HIDDEN = "[hidden by the import]"
SUCCESS_WORDS = frozenset({"success", "succeeded", "successful", "completed", "complete", "accepted", "ok", "done"})
FAILURE_WORDS = frozenset({"failure", "failed", "fail", "error", "rejected"})
LONGEST_CALL = timedelta(minutes=10)
_SECRET_NAME = re.compile("token|authorization|bearer|password|secret", re.IGNORECASE)
_TIME_OUT = re.compile(r"time[ds]?[ -]?out|deadline", re.IGNORECASE)
_NAMESPACE = uuid.UUID("0d9c6b8e-5a44-4b6f-9d0c-2f6f6d1c7a11")  # of ids that are made from what an old row says


class BadRowError(ValueError):
    """A row cannot be imported. The text says why, in words that follow its number."""


def text_of(value: Any) -> str:
    """Return a value as trimmed text, which is empty if there is none; bytes that are no text become hex digits."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.hex()
    return "" if value is None else str(value).strip()


def shown(value: Any) -> str:
    """Return the beginning of a value as a message quotes it, without tokens."""
    return repr(without_tokens(str(value)[:200])[:40])


def id_of(value: Any) -> uuid.UUID:
    """Return a job's id; an id that is no UUID is turned into one. Raises BadRowError if it is missing."""
    text = text_of(value)
    if not text:
        raise BadRowError("it has no job_id")
    return uuid_or_none(text) or uuid.uuid5(_NAMESPACE, f"job {text}")


def id_of_log_row(number: int, row: Row) -> uuid.UUID:
    """Return the id of a row of the audit log, always the same for the same row."""
    return uuid.uuid5(_NAMESPACE, json.dumps([number, row], sort_keys=True, default=str))


def uuid_or_none(value: Any) -> uuid.UUID | None:
    """Return a UUID if the value is one."""
    try:
        return uuid.UUID(text_of(value))
    except ValueError:
        return None


def duration_of(value: Any) -> timedelta:
    """Return a duration in milliseconds, nothing if there is none; one that no call takes is cut."""
    try:
        return min(max(timedelta(milliseconds=float(text_of(value))), timedelta()), LONGEST_CALL)
    except (ValueError, OverflowError):
        return timedelta()


def action_of(code: Any, name: Any) -> Action | None:
    """Return the action that an old row names by code, or else by name."""
    try:
        return Action(int(text_of(code)))
    except ValueError:
        return find_action(text_of(name))


def http_status_of(value: Any) -> int | None:
    """Return an HTTP status if the value is one."""
    text = text_of(value)
    return int(text) if text.isdecimal() and len(text) == 3 else None


def state_of(row: Row) -> str:
    """Return what is known of an old row: `success`, `failed` or `unknown`.

    The old dashboard called a time-out a failure, although TMS may have acted, and never updated what it did not
    finish.
    """
    status = text_of(row["status"]).lower()
    if status in SUCCESS_WORDS:
        return "success"
    return "failed" if status in FAILURE_WORDS and not _is_time_out(row) else "unknown"


def _is_time_out(row: Row) -> bool:
    words = f"{text_of(row.get('error_message'))} {text_of(row.get('response_summary'))}"
    return text_of(row.get("http_status")) in ("408", "504") or _TIME_OUT.search(words) is not None


# -- Customer ids ---------------------------------------------------------------------------------------------------


def cid_of(value: Any) -> str:
    """Return a customer id; raises BadRowError if it is none."""
    text = text_of(value)
    if not 0 < len(text) <= CID_LENGTH or _is_damaged(value) or isinstance(value, (bool, list, dict)):
        raise BadRowError(f"{shown(value)} is no customer id")
    if looks_like_token(text):
        raise BadRowError("a token stands where a customer id belongs")
    return text


def cids_of(value: Any) -> tuple[str, ...]:
    """Return the ids of a row of the audit log, each once, in their order; raises BadRowError if they make no sense.

    They are a JSON list, or as the old code wrote them at some time or other: one id alone, with quotes or without, or
    several with commas between them. An id of digits alone keeps its zeros.
    """
    text = text_of(value)
    if _is_damaged(value):
        raise BadRowError(f"customer_ids cannot be read: {shown(text)}")
    items: Any = text
    try:
        items = json.loads(text, parse_int=str)
    except (ValueError, RecursionError):
        if text.startswith(("[", "{")):
            raise BadRowError(f"customer_ids is not JSON: {shown(text)}") from None
    if isinstance(items, (dict, bool)):
        raise BadRowError(f"customer_ids is no list: {shown(text)}")
    if isinstance(items, float):  # an id such as 12E4
        items = text
    if isinstance(items, str):
        items = [part.strip() for part in re.split(r"[,;\n]", items) if part.strip()]
        if words := next((part for part in items if re.search(r"\s", part)), None):
            raise BadRowError(f"{shown(words)} is no customer id")
    return tuple(dict.fromkeys(map(cid_of, items or ())))


def _is_damaged(value: Any) -> bool:
    """Tell whether a value lost characters on its way, or was a number that may have lost digits."""
    text = text_of(value)
    is_cut = isinstance(value, bytes) and text == value.hex()
    return isinstance(value, float) or is_cut or "\ufffd" in text or _storable(text) != text


# -- JSON -----------------------------------------------------------------------------------------------------------


def json_of(value: Any) -> Any:
    """Return what a JSON text holds, or the text itself, without tokens."""
    if value is None:
        return {}
    text = text_of(value) if isinstance(value, bytes) else str(value)
    try:
        return without_secrets(json.loads(text, parse_constant=str))
    except (ValueError, RecursionError):
        return without_secrets(text)


def without_secrets(value: Any) -> Any:
    """Return a JSON value without anything that looks like a token or stands where tokens usually stand."""
    if isinstance(value, dict):
        parts = {name: HIDDEN if _SECRET_NAME.search(name) else without_secrets(part) for name, part in value.items()}
        return {_storable(name): part for name, part in parts.items()}
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    if isinstance(value, bytes):
        value = text_of(value)
    if isinstance(value, str):
        text = _storable(value)
        return HIDDEN if looks_like_token(text) or re.search(r"bearer\s+\S", text, re.IGNORECASE) else text
    return value


def _storable(text: str) -> str:
    """Return the text without characters that some database refuses."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
