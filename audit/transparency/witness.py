"""A witness: it asks a site for its last checkpoint, and takes it only if that continues what it has taken before.

1. Only a key that a person gave makes a checkpoint believed. Keys follow each other: once a newer one has signed, an
   older one, which somebody may have stolen, counts no more.
2. The history was rewritten if the site, under such a key, shows fewer entries than before, other ones in the same
   number, or more with a proof that does not hold. Two signed checkpoints that contradict each other prove that to
   everybody, so they are kept, and from then on nothing is taken any more until a person begins with a new folder.
3. What is not signed proves nothing against the site, and what it cannot prove is not taken: both are told, and the
   next look decides anew.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from audit.transparency.merkle import is_consistent
from audit.transparency.notes import Checkpoint, NoteError, PublicKey
from audit.transparency.witness_folder import REWRITTEN, Folder, FolderError


class UnaskedError(Exception):
    """The site cannot be asked, or nothing can be made of its answer. The text says why, and what to do."""


class UnprovenError(Exception):
    """The site does not prove what it shows: that is no evidence yet, but not as it should be."""


class RewrittenError(Exception):
    """The site has shown a history that does not continue what this witness took."""


class Site(Protocol):
    """Where checkpoints come from."""

    def checkpoint(self) -> str | None:
        """Return the last checkpoint, None if it says that there is none. Raises UnaskedError."""

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof between two sizes; raises UnaskedError, or UnprovenError if it says that it has none."""


@dataclass(frozen=True)
class Look:
    """What a look at the site has come to: the checkpoint that it shows, and when this witness took it."""

    checkpoint: Checkpoint
    taken_at: datetime
    is_new: bool
    is_first: bool


def look(folder: Folder, site: Site, at: datetime, given: PublicKey | None = None) -> Look:
    """Ask a site, and keep its checkpoint if that is new and continues the last one.

    `given` is the log's key as a person gave it. Raises FolderError, OSError, and the three errors above.
    """
    if sentence := folder.rewritten():
        raise RewrittenError(f"{sentence} {folder.evidence} holds what proves it. {_NEXT}")
    last = folder.last()
    keys = _keys(folder, given, is_first=last is None)
    note = site.checkpoint()
    if note is None:
        if last:
            raise UnprovenError(f"The site says that it has no checkpoint, but it had one of {_entries(last)}. {_ASK}")
        raise UnaskedError("The site has no checkpoint yet. Run manage.py audit_seal there, then this again.")
    shown = _parsed(note)
    signer = _signer(shown, keys)
    if last is None:
        folder.trust(keys)
    else:
        if signer < _signer(last, keys):
            raise UnprovenError(
                f"The site's checkpoint is signed by {keys[signer].key_id.hex()}, an earlier key of the log, although "
                f"a newer one had signed before. Nothing was taken. {_ASK}"
            )
        if (shown.size, shown.root) == (last.size, last.root):
            own = last.signature_of(folder.public_key)
            return Look(shown, own.seen_at if own else at, is_new=False, is_first=False)
        _assert_continued(folder, site, last, shown, at)
    return Look(folder.add(shown, at), at, is_new=True, is_first=last is None)


def accept(folder: Folder, key: PublicKey) -> None:
    """Trust another key of the log from now on; raises FolderError if there is no log yet, or it is another one's."""
    keys = folder.keys()
    if not keys:
        raise FolderError("This folder trusts no key yet. Give the first one as --public-key.")
    if key.name != keys[0].name:
        raise FolderError(f"This is a key of {key.name}, and this folder witnesses {keys[0].name}. Take a new folder.")
    if key not in keys:
        folder.trust([*keys, key])


_ASK = "Ask whoever runs the site what was done to its audit: a restored backup, or something worse."
_NEXT = (
    "Keep this folder, and have the site's audit looked at: manage.py audit_verify --witness with witness.txt of it. "
    "Once it is known what happened, begin again with a new folder."
)


def _keys(folder: Folder, given: PublicKey | None, *, is_first: bool) -> list[PublicKey]:
    keys = folder.keys()
    if is_first and given:
        return [given]
    if not keys:
        raise FolderError(
            "This folder is new: give the site's public key with --public-key. manage.py audit_keys shows it on the "
            "site, and so does its page of the audit."
        )
    if given and given not in keys:
        raise FolderError(
            f"This is not the key that {folder} trusts. If the site's signing key was changed on purpose, and you have "
            "compared the new one, give it with --accept-key; for another site take another folder."
        )
    return keys


def _parsed(note: str) -> Checkpoint:
    try:
        return Checkpoint.parse(note)
    except NoteError:
        raise UnaskedError("What answers there is no checkpoint. Check --url: it is the address of the site.") from None


def _signer(checkpoint: Checkpoint, keys: list[PublicKey]) -> int:
    """Return which of the keys has signed, the newest one if several have; raises UnprovenError if none has."""
    for number in range(len(keys) - 1, -1, -1):
        if keys[number].name == checkpoint.origin and checkpoint.signature_of(keys[number]):
            return number
    signed_by = ", ".join(signature.key_id.hex() for signature in checkpoint.signatures[:3])
    raise UnprovenError(
        f"The site's checkpoint is not signed by a key that is trusted here ({keys[-1].name}, {keys[-1].key_id.hex()}) "
        f"but by {signed_by}. Nothing was taken. If the site's signing key was changed on purpose, compare the new "
        "one, which manage.py audit_keys shows there, and give it with --accept-key."
    )


def _assert_continued(folder: Folder, site: Site, last: Checkpoint, shown: Checkpoint, at: datetime) -> None:
    """Raise RewrittenError, and keep what proves it, unless what the site shows at a time continues the last one."""
    proof: list[bytes] = []
    if shown.size < last.size and folder.has_taken(shown):
        raise UnprovenError(
            f"The site shows again the checkpoint of {_entries(shown)} that it had shown before the last one, of "
            f"{_entries(last)}. That is an old answer, of a cache, a copy or whoever is between, or all that a "
            f"restored backup has. Nothing was taken. {_ASK}"
        )
    if shown.size < last.size:
        what = f"The site shows a history of {_entries(shown)}, and had shown one of {_entries(last)}"
    elif shown.size == last.size:
        what = f"The site shows other entries than before, in the same number: {_entries(last)}"
    else:
        proof = site.consistency(last.size, shown.size)
        if is_consistent(last.size, last.root, shown.size, shown.root, proof):
            return
        what = f"The site's {_entries(shown)} do not begin with the {_entries(last)} that it had shown"
    sentence = f"{REWRITTEN} {what}."
    parts = {"This witness had taken": str(last), f"The site has shown at {at:%Y-%m-%d %H:%M:%S} UTC": str(shown)}
    if proof:
        parts["With this proof, which does not hold"] = "\n".join(part.hex() for part in proof)
    try:
        folder.keep_evidence(sentence, parts)
    except OSError as error:  # it is told all the same, and found again by the next look
        raise RewrittenError(f"{sentence} What proves it could not be kept: {error.strerror}. {_NEXT}") from None
    raise RewrittenError(f"{sentence} {folder.evidence} holds what proves it. {_NEXT}")


def _entries(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.size:,} entries"
