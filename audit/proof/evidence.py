"""The evidence pack of one attempt: its events with their macs, its ids, what was checked, and a text for a ticket.

What is checked is what can be told without reading the whole chain: the entries themselves, that each follows from the
one before it and is followed by the one behind it, the signed head, the attempt's row, and its ids in the customer
index. `audit_verify` with the anchor of the pack checks the rest.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from audit import chain
from audit.bodies import comparison_shown, words_given
from audit.customer_index import indexed_cids
from audit.exports import facts_of
from audit.models import Attempt, ChainHead
from audit.proof.heads import stored_head
from audit.proof.parts import rows_query
from audit.proof.projection import compare
from audit.proof.stored import StoredEntry, rows_of, stored_entries
from audit.selectors import entries_of, read_body, read_opening
from tmsdash.csv_text import ids_text
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.db.transactions import read_transaction
from tmsdash.text import counted, one_line


@dataclass(frozen=True)
class Evidence:
    """What the audit holds about an attempt, and sentences about what is not as it was written."""

    attempt: Attempt
    entries: list[StoredEntry]
    problems: list[str]
    head: str
    """The anchor of the whole audit's last entry at that moment."""

    @property
    def cids(self) -> list[str]:
        """The ids in the order given."""
        cids: list[str] = json.loads(self.entries[0].body)["cids"]
        return cids

    @property
    def anchor(self) -> str:
        """The anchor of the attempt's newest entry."""
        return chain.anchor(self.entries[-1].sequence, self.entries[-1].mac)


def gather(attempt: Attempt) -> Evidence:
    """Read an attempt's events, and check them, their neighbours in the chain, its row and its ids in the index."""
    with read_transaction(chain.DATABASE):
        attempt.refresh_from_db()
        sequences = list(entries_of(attempt).values_list("sequence", flat=True))
        numbers = sorted({number for sequence in sequences for number in range(sequence - 1, sequence + 2)})
        near = {entry.sequence: entry for entry in stored_entries(f"sequence IN ({', '.join(map(str, numbers))})")}
        head = stored_head()
        if head is None:
            raise BrokenRowError("The head of the audit's chain is missing.")
        entries = [near[sequence] for sequence in sequences]
        _, *row = next(rows_of(rows_query(f"a.id = {attempt.pk:d}", "a.id")))
        cids = indexed_cids(attempt.pk, read_opening(entries[0].sequence, entries[0].body)["cids"])
        problems = [*_chain_problems(entries, near, head), *compare(entries, [row], cids)]
        if not problems and not chain.is_signed(head.sequence, head.mac, head.key_id, head.signature):
            problems = ["The end of the chain is not proven: its head was changed, or its key is not known."]
    return Evidence(attempt, entries, problems, chain.anchor(head.sequence, head.mac))


def _chain_problems(entries: list[StoredEntry], near: dict[int, StoredEntry], head: ChainHead) -> Iterator[str]:
    keys = chain.known_keys()
    for entry in entries:
        is_signed = entry.is_signed(keys)
        if is_signed is None:
            yield f"Entry {entry.sequence} is signed with the key {entry.key_id}, which is not known."
        elif not is_signed:
            yield f"Entry {entry.sequence} was changed: its mac does not match what it says."
        before, after = near.get(entry.sequence - 1), near.get(entry.sequence + 1)
        if entry.sequence > 1 and (before is None or before.mac != entry.previous_mac):
            yield f"Entry {entry.sequence} does not follow the entry before it."
        if (after.previous_mac if after else head.mac) != entry.mac:
            yield f"What follows entry {entry.sequence} does not follow from it."


def ticket(evidence: Evidence) -> str:
    """Return a short text about the attempt, to be pasted into a ticket."""
    facts, attempt = facts_of(evidence.attempt), evidence.attempt
    opening = read_opening(evidence.entries[0].sequence, evidence.entries[0].body)
    words, comparison = words_given(opening), comparison_shown(opening)
    whole = "Its events, their places in the audit's chain, its row and its customers were checked: all is as written."
    checked = f"NOT AS IT WAS WRITTEN: {' '.join(evidence.problems)}" if evidence.problems else whole
    lines = [
        f"Attempt {facts['attempt_id']}",
        f"{facts['action'] or 'An action without a name'} for {counted(facts['customer_count'], 'customer')} on "
        f"{facts['cluster'] or 'no known cluster'}",
        f"By {facts['user']}, {facts['time']}, from {facts['address'] or 'no address'} ({attempt.source_label})",
        f"Outcome: {attempt.get_outcome_display()}, since {facts['outcome_since'] or 'it was begun'}",
        f"Job: {facts['job_id'] or 'none'}",
        *([f"Note: {attempt.note}"] if attempt.note else []),
        *([f"Deliberately {words}"] if words else []),
        *([f"Live state, as shown before: {comparison}"] if comparison else []),
        *([f"Message: {facts['error']}"] if facts["error"] else []),
        "",
        checked,
        f"Audit entries {', '.join(str(entry.sequence) for entry in evidence.entries)}, anchor {evidence.anchor}.",
        f"The whole audit is checked by: manage.py audit_verify --anchor {evidence.anchor}",
    ]
    return "\n".join(one_line(line) for line in lines) + "\n"


def pack(evidence: Evidence, by: str) -> bytes:
    """Return the pack as a ZIP file: evidence.json, customers.csv and ticket.txt."""
    content: dict[str, Any] = {
        "made_at": timezone.now().isoformat(),
        "made_by": by,
        "attempt": facts_of(evidence.attempt),
        "customers": evidence.cids,
        "entries": [entry._asdict() | {"body": read_body(entry.sequence, entry.body)} for entry in evidence.entries],
        "verification": {
            "whole": not evidence.problems,
            "problems": evidence.problems,
            "checked": "the attempt's entries, their neighbours in the chain, its row and its customers in the index",
            "anchor": evidence.anchor,
            "head": evidence.head,
        },
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ticket.txt", ticket(evidence))
        archive.writestr("evidence.json", json.dumps(content, indent=2))
        archive.writestr("customers.csv", ids_text(evidence.cids))
    return file.getvalue()
