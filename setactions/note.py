"""The note of a Set Action: the reason or the ticket, for whoever reads of it later.

It is kept with the attempt in the audit, shown wherever the attempt or its batch is, and searched. It changes nothing
of what is sent, so a retry under the same key may have another one. TMS_REQUIRE_NOTE says where there must be one.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

from django.conf import settings

from audit.models import NOTE_LENGTH
from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from setactions.token import Token
from tmsdash.tokens import looks_like_token

FIELD = "note"
MISPLACED = "There is a bearer token in the note, which is kept and shown. Take it out, and have the token renewed."


def checked_note(value: Any, token: Token | None = None) -> str:
    """Return a note as it is kept, "" for none; raises Refusal (400) for what cannot be one, or if it holds a token."""
    if not isinstance(value, str):
        raise Refusal(400, FIELD, 'note must be text, such as "note": "CHG-4711".')
    note = value.strip()
    if len(note) > NOTE_LENGTH:
        raise Refusal(400, FIELD, f"The note has more than {NOTE_LENGTH} characters. Shorten it.")
    if looks_like_token(note) or (token and token.is_within(note)):
        raise Refusal(400, FIELD, MISPLACED)
    if not note.isprintable() or not all(_is_visible(character) for character in note):
        what = "The note holds a line end, or another character that cannot be seen."
        raise Refusal(400, FIELD, f"{what} Write it on one line.")
    return note


def is_required(clusters: Iterable[Cluster]) -> bool:
    """Tell whether what is sent to one of these clusters needs a note."""
    rule = settings.TMS_REQUIRE_NOTE
    return rule == "true" or (rule == "production" and any(cluster.is_production for cluster in clusters))


def required_in_words() -> str:
    """Return where there must be a note, as a further sentence for a form; "" if nowhere."""
    where = {"true": "", "production": " on production clusters"}.get(settings.TMS_REQUIRE_NOTE)
    return "" if where is None else f" It is required{where}."


def check_given(note: str, clusters: Iterable[Cluster], how: str = "Write the reason or the ticket.") -> None:
    """Raise Refusal (400) if there is no note where TMS_REQUIRE_NOTE asks for one; `how` says where to give it."""
    if not note and is_required(clusters):
        where = "" if settings.TMS_REQUIRE_NOTE == "true" else " on production clusters"
        raise Refusal(400, FIELD, f"A note is required{where}. {how}")


def _is_visible(character: str) -> bool:
    return character == " " or unicodedata.category(character)[0] not in "CZ"
