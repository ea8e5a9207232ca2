"""Whether the files of seals still hold the seals that the chain notes.

1. The chain notes each seal with its number and signature, and the checkpoint that was signed with it (Kind.SEALED). So
   no seal can be cut off at the end, and no file emptied or taken away.
2. Files that were lost by accident are acknowledged as lost, with a reason, in an entry of the chain. From then on only
   seals that were made later have to be there. `audit_verify` names each loss for ever.
3. A backup that was restored where there were fewer seals than it notes, such as on another machine, is such a loss.
4. Only entries that a known key signed are believed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import merge
from operator import attrgetter

from audit import chain
from audit.choices import Kind
from audit.proof.findings import Finding
from audit.proof.lost_keys import settings_changed
from audit.proof.seals import SealFile, path_of
from audit.proof.stored import StoredEntry, stored_entries
from audit.proof.stretches import LOST_SEALS, RESTORED
from tmsdash.text import one_line

CHANGE = "lost seals acknowledged"
NEWEST = 50  # entries that are enough to tell whether the end of a file is there
STEP = (
    "Put the file back from the copies of the seals, or run this where they are kept. If it is lost: manage.py "
    "audit_seal --acknowledge-lost-seals --reason TEXT."
)


@dataclass(frozen=True)
class NotedSeal:
    """What an entry notes of a seal."""

    entry: int
    number: int
    signature: str


@dataclass
class NotedSeals:
    """The seals that the chain notes, key by key; `losses` are sentences on those that were acknowledged as lost."""

    losses: list[str] = field(default_factory=list)
    sizes: dict[int, tuple[int, str]] = field(default_factory=dict)
    """The entry that notes a checkpoint, and the root, by the checkpoint's size."""
    unproven: int = 0  # entries that note a seal, and that no known key signed
    _of_key: defaultdict[str, dict[int, NotedSeal]] = field(default_factory=lambda: defaultdict(dict))
    _keys: dict[str, str] = field(default_factory=chain.known_keys)

    def take(self, entry: StoredEntry) -> None:
        """Take in the next entry, in the order of their numbers."""
        is_sealed = entry.kind == Kind.SEALED
        is_change = entry.kind == Kind.SETTING_CHANGED and (RESTORED in entry.body or LOST_SEALS in entry.body)
        is_signed = (is_sealed or is_change) and entry.is_signed(self._keys)
        self.unproven += is_sealed and not is_signed
        if is_signed:
            take = self._take_seal if is_sealed else self._take_change
            take(entry, entry.facts)

    def last(self, key_id: str) -> NotedSeal | None:
        """Return the seal of a key with the highest number that has to be there."""
        return max(self._of_key[key_id].values(), key=attrgetter("number"), default=None)

    def findings(self, files: Iterable[SealFile]) -> Iterator[Finding]:
        """Yield which files lack seals, or hold others."""
        signatures = {file.path: file.signatures for file in files}
        for key_id in self._keys:
            path = path_of(key_id)
            for problem in self.problems_of(key_id, signatures.get(path, {})):
                yield Finding("seals", f"{path.name} {problem} {STEP}")

    def problems_of(self, key_id: str, present: dict[int, str]) -> Iterator[str]:
        """Yield what the file of a key lacks, which has these signatures by the numbers of its seals."""
        last = self.last(key_id)
        if last and last.number > max(present, default=0):
            held = f"ends with seal {max(present):,}" if present else "holds no seal"
            yield f"{held}, but entry {last.entry} notes seal {last.number:,}."
        others = [noted for noted in self._of_key[key_id].values() if not _is_same(noted, present)]
        if others:
            yield f"holds another seal {others[0].number:,} than entry {others[0].entry} notes."

    def _take_seal(self, entry: StoredEntry, facts: dict[str, object]) -> None:
        number, size = facts.get("number"), facts.get("size")
        if facts.get("what") == "seal" and type(number) is int and type(size) is int:
            self._of_key[str(facts.get("key_id"))][number] = NotedSeal(
                entry.sequence, number, str(facts.get("signature"))
            )
            self.sizes[size] = entry.sequence, str(facts.get("root"))

    def _take_change(self, entry: StoredEntry, facts: dict[str, object]) -> None:
        when = f"{entry.time[:16]} UTC (entry {entry.sequence:,})"
        if facts.get("change") == CHANGE:
            who, why = one_line(str(facts.get("by"))), one_line(str(facts.get("reason")))
            name = path_of(one_line(str(facts.get("key_id")), 40)).name
            self._of_key.pop(str(facts.get("key_id")), None)
            self.losses.append(f"{name} was acknowledged as lost by {who} on {when}: {why}")
        elif facts.get("change") == "restored":
            held = facts.get("seals")
            numbers = held if isinstance(held, dict) else {}
            for key_id in [*self._of_key]:
                last, number = self.last(key_id), numbers.get(key_id, 0)
                if last and type(number) is int and number < last.number:
                    del self._of_key[key_id]
                    there = f"{number:,} of {last.number:,} seals were in {path_of(key_id).name}"
                    self.losses.append(f"When a backup was restored on {when}, only {there}.")


def noted_in_database(*, only_newest: bool = False) -> Iterator[StoredEntry]:
    """Yield the entries in the database for `take`; `only_newest` is enough to tell whether a seal is missing."""
    limit = f" DESC LIMIT {NEWEST}" if only_newest else ""
    sealed: Iterable[StoredEntry] = stored_entries(f"kind = '{Kind.SEALED.value}'", f"sequence{limit}")
    if only_newest:
        sealed = reversed([*sealed])
    changes = {entry.sequence: entry for text in (RESTORED, LOST_SEALS) for entry in settings_changed(text, ())}
    return merge(sealed, (changes[number] for number in sorted(changes)), key=attrgetter("sequence"))


def _is_same(noted: NotedSeal, present: dict[int, str]) -> bool:
    signature = present.get(noted.number)
    # Of one that is not there, or was changed, the file tells by itself, or its end does.
    return signature is None or chain.is_same(signature, noted.signature)
