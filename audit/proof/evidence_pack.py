"""The evidence pack of one attempt, a ZIP file that others check with Python alone: with the program in it, `verify`.

1. It holds the leaves of the attempt's entries, byte by byte, and the paths from them to the root that was signed.
2. Nothing in it depends on when it is written: its files make one ZIP file only. `verify` makes that again, so that one
   changed byte anywhere shows.
3. `verify` is a file of this product, and is told nowhere else what a pack looks like.
"""

import json
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.utils import timezone

from audit.exports import facts_of
from audit.proof import verify
from audit.proof.evidence import Evidence, ticket
from audit.proof.stored import StoredEntry
from audit.selectors import read_body
from audit.transparency import timestamps
from audit.transparency.inclusion import Inclusion
from audit.transparency.signing_key import pem
from tmsdash.csv_text import ids_text

PROGRAM = Path(verify.__file__)


@cache
def program_digest() -> str:
    """Return the SHA-256 of the program in the packs, by which others know that it is that of this product."""
    return sha256(PROGRAM.read_bytes()).hexdigest()


def pack(evidence: Evidence, by: str) -> bytes:
    """Return the pack as a ZIP file; `by` is who asked for it. Before the log is signed, it proves nothing."""
    content: dict[str, Any] = {
        "made_at": timezone.now().isoformat(),
        "made_by": by,
        "attempt": facts_of(evidence.attempt),
        "customers": evidence.cids,
        "entries": [_told(entry) for entry in evidence.entries],
        "verification": {
            "whole": not evidence.problems,
            "problems": evidence.problems,
            "checked": "the attempt's entries, their neighbours in the chain, its row, its customers in the index and "
            "that the entries are in the log that was last signed",
            "anchor": evidence.anchor,
            "head": evidence.head,
        },
    }
    texts = {
        **({PROGRAM.name: PROGRAM.read_text(encoding="ascii")} if evidence.inclusion else {}),
        "ticket.txt": ticket(evidence),
        "evidence.json": json.dumps(content, indent=2),
        "customers.csv": ids_text(evidence.cids),
        **(_proof(evidence.inclusion) if evidence.inclusion else {}),
    }
    files = {name: text.encode() for name, text in texts.items()}
    if evidence.inclusion and (stamp := timestamps.of(evidence.inclusion.log.checkpoint)):
        files["timestamp.tsr"] = stamp
    return verify.zipped(files | {f"entries/{entry.sequence}.leaf": entry.leaf for entry in evidence.entries})


def _told(entry: StoredEntry) -> dict[str, Any]:
    """Return an entry's facts by their names, in the order of its leaf."""
    _, *facts = json.loads(entry.leaf)
    body = {"body": read_body(entry.sequence, entry.body)}
    return dict(zip(verify.FIELDS.split(), facts, strict=True)) | body


def _proof(inclusion: Inclusion) -> dict[str, str]:
    """Return the files that prove the entries to others, by their names."""
    checkpoint, key = inclusion.log.checkpoint, inclusion.log.key
    paths = {
        str(number): {"index": number - 1, "path": [digest.hex() for digest in path]}
        for number, path in inclusion.paths.items()
    }
    return {
        "proofs.json": json.dumps({"size": checkpoint.size, "entries": paths}, indent=2),
        "checkpoint.txt": str(checkpoint),
        "public_key.txt": f"{key}\n",
        "public_key.pem": pem(key),
    }
