"""Canonical JSON, and digests of it: one text, and one hash, for one value."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def list_digest(cluster_url: str, action_code: int, cids: Sequence[str]) -> str:
    """Return what two attempts share if they ask the same of the same set of customers, in whatever order."""
    return digest({"cluster": cluster_url, "action": action_code, "cids": sorted(cids)})


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, as 64 hex digits."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON with sorted keys, without spaces, in ASCII: one text for one value."""
    return _encode(value)


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode
