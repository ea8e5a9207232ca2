"""What checkpoints say about the entries, wherever they were kept, and whether that is so.

1. A checkpoint counts if a key of the log signed it: the present one, or one of AUDIT_OLD_SIGNING_KEYS. One that nobody
   known signed is named.
2. Those in the database are all that the chain notes, and no others.
3. What one says about the entries up to its size must be so. Those of seals that a restored backup replaced are excused
   with these. Those that a witness kept are excused by nothing: they are what remains if somebody with all keys of the
   site writes its history anew.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from audit.chain import stored_time
from audit.models import StoredCheckpoint
from audit.proof.findings import Finding
from audit.proof.noted_seals import NotedSeals
from audit.proof.roots import Roots
from audit.proof.seals import Seal, SealFile
from audit.proof.stored import rows_of, time_sql
from audit.proof.walk import Walk
from audit.transparency import signing_key
from audit.transparency.notes import Checkpoint, NoteError, PublicKey, parse_many
from audit.transparency.signing_key import SigningKeyError

REBUILD = "If nothing else is wrong, manage.py audit_seal --rebuild-tree makes them anew from the entries."
KEY_STEP = "If that key was the log's, add its public half to AUDIT_OLD_SIGNING_KEYS."
_MAX_WITNESS_FILE = 1 << 30  # bytes; a checkpoint has some 400


class NoWitnessError(Exception):
    """A file holds no checkpoints of a witness, or cannot be read. The text says so, as a sentence."""


@dataclass(frozen=True)
class Claim:
    """A checkpoint, and where it was kept, as a person calls it."""

    checkpoint: Checkpoint
    source: str
    seal: Seal | None = None
    is_witness: bool = False


def witnessed(name: str) -> list[Claim]:
    """Return the checkpoints that a witness kept in a file; raises NoWitnessError."""
    path = Path(name)
    try:
        if not path.is_file() or path.stat().st_size > _MAX_WITNESS_FILE:
            raise NoWitnessError(f"{name} is no file of a witness.")
        checkpoints = parse_many(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoWitnessError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise NoWitnessError(f"{name} is no file of a witness.") from None
    except NoteError as error:
        raise NoWitnessError(f"{name} is not what a witness writes. {error}") from None
    if not checkpoints:
        raise NoWitnessError(f"{name} holds no checkpoint.")
    return [Claim(checkpoint, f"the witness file {name}", is_witness=True) for checkpoint in checkpoints]


@dataclass
class Claims:
    """All that is to be compared; `problems` are what is wrong with single ones, whatever the entries are."""

    claims: list[Claim] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    stored: dict[int, Checkpoint] = field(default_factory=dict)  # those in the database, by their size

    @classmethod
    def gathered(cls, files: Iterable[SealFile], witnesses: Iterable[Claim]) -> "Claims":
        """Return those in the database, while a transaction is open, those in seals, and those of witnesses."""
        gathered = cls()
        gathered._read_stored()
        for seal in (seal for file in files for seal in file.seals if seal.checkpoint):
            try:
                gathered.claims.append(Claim(Checkpoint.parse(seal.checkpoint), seal.name, seal))
            except NoteError as error:  # only whoever has AUDIT_KEY could sign such a seal
                gathered.problems.append(Finding("seals", f"{seal.name} holds no checkpoint. {error}"))
        gathered.claims += witnesses
        gathered._look_at_signatures()
        return gathered

    @property
    def sizes(self) -> set[int]:
        """The sizes at which the root is needed."""
        return {claim.checkpoint.size for claim in self.claims}

    @property
    def tiles_size(self) -> int:
        """How many entries the tiles have to hold."""
        return max(self.stored, default=0)

    def count(self, *, of_witnesses: bool) -> int:
        """Return how many different checkpoints there are, of witnesses or of the site's own."""
        return len({claim.checkpoint.text for claim in self.claims if claim.is_witness == of_witnesses})

    def findings(self, walk: Walk, roots: Roots, noted: NotedSeals) -> Iterator[Finding]:
        """Yield what is wrong, once the walk is over."""
        roots.finish()
        yield from self.problems
        yield from self._not_stored(noted)
        if not roots.broken_at and not walk.unchecked:  # else the entry may be one that nobody can read, or believe
            for size in sorted(self.stored.keys() - noted.sizes.keys())[:1]:
                yield Finding(f"checkpoint {size}", "It is in the database, but no entry notes it.")
        unfit = [claim for claim in self.claims if self._contradicts(claim, walk, roots)]
        for is_witness in (False, True):
            # What changes an entry changes every root behind it.
            of_kind = [claim for claim in unfit if claim.is_witness == is_witness]
            if of_kind:
                yield _contradiction(of_kind, walk)
        if roots.changed_tile and not roots.broken_at:
            problem = (
                f"Tile {roots.changed_tile} of the Merkle tree is not what the entries make: proofs would not hold."
            )
            yield Finding("tiles", f"{problem} {REBUILD}")

    def _read_stored(self) -> None:
        # As they are stored: somebody may have written there what is no number and no text.
        query = f"SELECT size, root, note, {time_sql('created_at')} FROM {_TABLE} ORDER BY size"  # noqa: S608
        for size, root, note, time in rows_of(query):
            try:
                checkpoint = Checkpoint.parse(str(note))
            except NoteError as error:
                self.problems.append(Finding(f"checkpoint {size}", f"It was changed in the database. {error}"))
                continue
            at = stored_time(checkpoint.at) if checkpoint.at else ""
            if (size, _hex(root), str(time)) != (checkpoint.size, checkpoint.root.hex(), at):
                problem = (
                    f"It was changed in the database: it is one of {checkpoint.size:,} entries, signed at {at} UTC."
                )
                self.problems.append(Finding(f"checkpoint {size}", problem))
            self.stored[checkpoint.size] = checkpoint
            self.claims.append(Claim(checkpoint, "the database"))

    def _look_at_signatures(self) -> None:
        """Name those that no known key signed, and drop them: what they say, nobody vouches for."""
        notes = {str(claim.checkpoint): claim for claim in reversed(self.claims)}
        if not notes:
            return
        keys: list[PublicKey] = []
        try:
            keys = signing_key.known_public_keys()
        except SigningKeyError as error:
            self.problems.append(Finding("signing key", str(error)))
        except NoteError:  # of the last row in the database, which is named already
            with suppress(NoteError):
                keys = signing_key.noted()
        unsigned = {note for note, claim in notes.items() if not _is_signed(claim.checkpoint, keys)}
        for source in dict.fromkeys(notes[note].source for note in unsigned):
            sizes = sorted(notes[note].checkpoint.size for note in unsigned if notes[note].source == source)
            more = f" So are {len(sizes) - 1:,} others." if len(sizes) > 1 else ""
            problem = f"The one in {source} is signed with no key that is known here, or was changed.{more} {KEY_STEP}"
            self.problems.append(Finding(f"checkpoint {sizes[0]}", problem))
        self.claims = [claim for claim in self.claims if str(claim.checkpoint) not in unsigned]

    def _not_stored(self, noted: NotedSeals) -> Iterator[Finding]:
        for size, (entry, root) in noted.sizes.items():
            stored = self.stored.get(size)
            if stored is None:
                yield Finding(f"checkpoint {size}", f"It is not in the database, but entry {entry} notes it.")
            elif stored.root.hex() != root:
                yield Finding(f"checkpoint {size}", f"The one in the database is not the one that entry {entry} notes.")

        # Both are written in one transaction, so an entry was taken away, which only somebody with AUDIT_KEY can hide.
        for size in self.stored.keys() - noted.sizes.keys() if not noted.unproven else ():
            yield Finding(f"checkpoint {size}", "It is in the database, but no entry notes it.")

    def _contradicts(self, claim: Claim, walk: Walk, roots: Roots) -> bool:
        checkpoint = claim.checkpoint
        if claim.seal and walk.is_replaced(claim.seal):
            return False
        if checkpoint.size in roots.at:
            return checkpoint.root != roots.at[checkpoint.size]
        # Behind a gap there is no tree to compare with, and the gap is what is wrong.
        return not roots.broken_at or checkpoint.size > walk.sequence


_TABLE = StoredCheckpoint._meta.db_table


def _contradiction(claims: list[Claim], walk: Walk) -> Finding:
    first = min(claims, key=lambda claim: claim.checkpoint.size)
    size = first.checkpoint.size
    signed = (
        f"The one in {first.source} was signed at {first.checkpoint.at:%Y-%m-%d %H:%M:%S} UTC"
        if (first.checkpoint.at)
        else f"The one in {first.source} was signed"
    )
    problem = (
        f"{signed} over {size:,} entries, but the chain ends with entry {walk.sequence:,}."
        if size > walk.sequence
        else f"{signed} over other entries than those that are there now, up to entry {size:,}."
    )
    if len(claims) > 1:
        problem += f" The same is so of {len(claims) - 1:,} others."
    return Finding(f"checkpoint {size}", walk.with_restore(problem, "what was signed before that"))


def _is_signed(checkpoint: Checkpoint, keys: Iterable[PublicKey]) -> bool:
    return any(checkpoint.signature_of(key) for key in keys)


def _hex(stored: object) -> str:
    return bytes(stored).hex() if isinstance(stored, bytes | memoryview) else str(stored)
