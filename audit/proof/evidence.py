"""The evidence of one attempt: its events with their macs, its ids, what was checked, and a text for a ticket.

What is checked is what can be told without reading the whole chain: the entries themselves, that each follows from the
one before it and is followed by the one behind it, the signed head, the attempt's row, its ids in the customer index,
and that the entries are in the log that was last signed. `audit_verify` with the anchor of the pack checks the rest.
What others can check of it without this product is made in `evidence_pack`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from audit import chain
from audit.bodies import comparison_shown, words_given
from audit.customer_index import indexed_cids
from audit.exports import facts_of
from audit.models import Attempt, ChainHead
from audit.proof.heads import stored_head
from audit.proof.parts import rows_query
from audit.proof.projection import compare
from audit.proof.stored import StoredEntry, rows_of, stored_entries
from audit.selectors import entries_of, read_opening
from audit.transparency.inclusion import Inclusion, NotSignedError, prove
from tmsdash.db.broken_rows import BrokenRowError
from tmsdash.db.transactions import read_transaction
from tmsdash.text import counted, one_line

_NOT_SIGNED = "Its evidence pack proves nothing to others yet:"
_AGAIN = "Take another one after the next seal (manage.py audit_seal)."


@dataclass(frozen=True)
class Evidence:
    """What the audit holds about an attempt, and sentences about what is not as it was written."""

    attempt: Attempt
    entries: list[StoredEntry]
    problems: list[str]
    head: str
    """The anchor of the whole audit's last entry at that moment."""
    inclusion: Inclusion | None
    """That the entries are in the log that was last signed; None if it never was, or if that is a problem."""

    @property
    def file_name(self) -> str:
        """What its pack is called."""
        return f"evidence-{self.attempt.attempt_id}.zip"

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
        try:
            inclusion = prove({entry.sequence: entry.leaf for entry in entries})
        except NotSignedError as error:
            inclusion, problems = None, [*problems, str(error)]
    return Evidence(attempt, entries, problems, chain.anchor(head.sequence, head.mac), inclusion)


def _chain_problems(entries: list[StoredEntry], near: dict[int, StoredEntry], head: ChainHead) -> Iterator[str]:
    keys = chain.known_keys()
    for entry in entries:
        is_signed = entry.is_signed(keys)
        if is_signed is None:
            yield f"Entry {entry.sequence} is signed with the key {entry.key_id}, which is not known."
        elif not is_signed:
            yield f"Entry {entry.sequence} was changed: its mac does not match what it says."
        before, after = near.get(entry.sequence - 1), near.get(entry.sequence + 1)
        if entry.sequence > 1 and (before is None or not chain.is_same(before.mac, entry.previous_mac)):
            yield f"Entry {entry.sequence} does not follow the entry before it."
        if not chain.is_same(after.previous_mac if after else head.mac, entry.mac):
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
        *_what_is_signed(evidence),
    ]
    return "\n".join(one_line(line) for line in lines) + "\n"


def _what_is_signed(evidence: Evidence) -> Iterator[str]:
    """Yield what the pack proves to those who hold no key of the audit."""
    inclusion = evidence.inclusion
    if inclusion is None:
        if not evidence.problems:
            yield f"{_NOT_SIGNED} the log was never signed. {_AGAIN}"
        return
    log = inclusion.log
    if inclusion.newer:
        newer = ", ".join(map(str, inclusion.newer))
        yield f"{_NOT_SIGNED} of its audit entries, {newer} came after the last signature, of {log.signed_at}. {_AGAIN}"
        return
    yield (
        f"Its audit entries are in the log {log.checkpoint.origin} of {log.checkpoint.size:,} entries, as it was "
        f"signed at {log.signed_at}. Anyone can check that with the evidence pack and Python alone: "
        f"python3 verify.py {evidence.file_name} PUBLIC_KEY"
    )
    yield f"The public key, which is to be compared with the one on the audit's page: {log.key}"
