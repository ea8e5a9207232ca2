"""An entry as a line of JSON, from which a receiver can make its mac and its leaf again."""

import json
from json.encoder import encode_basestring_ascii as json_text

from audit.digests import canonical
from audit.proof.stored import StoredEntry

BEGIN = '{"sequence":'  # of every line

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


def line_of(entry: StoredEntry) -> str:
    """Return an entry as one line of ASCII, without its end.

    It has the fields of an evidence pack. The body is an object, written byte for byte as it was signed; if it is no
    canonical JSON, which the product never writes, it is a string.
    """
    fields = entry._asdict()
    body = fields.pop("body")
    return f'{_encode(fields)[:-1]},"body":{body if _is_canonical(body) else json_text(body)}}}'


def _is_canonical(body: str) -> bool:
    """Tell whether a receiver that reads an object can write the same text again."""
    try:
        return body.startswith("{") and canonical(json.loads(body)) == body
    except (ValueError, RecursionError):
        return False
