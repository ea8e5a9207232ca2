"""Seals: signed lines outside the database that say how far the chain went at a moment.

Somebody who puts yesterday's database file back has a chain that is whole; the seals of today give that away.

1. Each key has a file of its own in AUDIT_SEAL_DIR, so that other installations may use the same folder.
2. The seals of a key are numbered from 1, and each signs the signature of the one before, so that none can be taken
   out of the middle. That the last ones are cut off, the chain tells, which notes each: noted_seals.
3. Each holds the checkpoint that was signed then (see audit.transparency); those of earlier versions have none.
4. A line without an end was cut off by a crash. It was never reported as a seal, and the next one takes its place.
"""

import errno
import json
import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from audit.chain import anchor, id_of_key, is_same, known_keys, sign
from audit.models import GENESIS, ChainHead
from tmsdash.db.files import sync
from tmsdash.db.locks import alone

WAIT_S = 60.0  # for another process that seals; that takes milliseconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seal:
    """That the chain ended with this entry at this time (UTC, ISO 8601)."""

    number: int
    at: str
    sequence: int
    mac: str
    key_id: str
    previous: str
    signature: str = ""
    checkpoint: str = ""

    def signed_with(self, key: str) -> str:
        """Return the signature that this seal has to have."""
        facts = self.facts() | {"signature": ""}
        return sign(key, "seal", *(facts[name] for name in sorted(facts)))

    def facts(self) -> dict[str, Any]:
        """Return what its line holds."""
        return {name: value for name, value in asdict(self).items() if value or name != "checkpoint"}

    @property
    def name(self) -> str:
        """What a person calls the seal."""
        return f"seal {self.number} of {self.at}"


@dataclass(frozen=True)
class SealFile:
    """The seals of one key that are as they were written, and a sentence about everything that is not."""

    path: Path
    seals: list[Seal]
    problems: list[str]

    @property
    def signatures(self) -> dict[int, str]:
        """The signatures of the seals by their numbers."""
        return {seal.number: seal.signature for seal in self.seals}


def path_of(key_id: str) -> Path:
    """Return the file of the seals that a key signed."""
    return Path(settings.AUDIT_SEAL_DIR) / f"seals-{key_id}.jsonl"


def read_all() -> list[SealFile]:
    """Return the seals of each known key; raises OSError if there is a file that cannot be read."""
    return [_read(path_of(key_id), key) for key_id, key in known_keys().items()]


def unknown_files() -> list[Path]:
    """Return the files of seals in AUDIT_SEAL_DIR whose key is not known."""
    known = {path_of(key_id) for key_id in known_keys()}
    return sorted(path for path in Path(settings.AUDIT_SEAL_DIR).glob("seals-*.jsonl") if path not in known)


def _read(path: Path, key: str) -> SealFile:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        return SealFile(path, [], [f"{path.name} is no file."])
    seals, problems, previous = [], [], GENESIS
    for number, line in enumerate(_complete_lines(path), start=1):
        where, seal = f"{path.name}, line {number}", _seal_of(line)
        if seal is None:
            problems.append(f"{where}: this is no seal.")
            continue
        is_signed = is_same(seal.signed_with(key), seal.signature)
        if not is_signed:
            problems.append(f"{where}: the seal was changed, its signature does not match.")
        elif (seal.number, seal.previous) != (number, previous):
            problems.append(f"{where}: this is {seal.name}; seals before it are missing.")
        if is_signed:
            seals.append(seal)
        previous = seal.signature  # also of one that was changed: the one behind it is no worse for that
    return SealFile(path, seals, problems)


def _seal_of(line: bytes) -> Seal | None:
    """Return the seal of a line, signed or not; None if it is none."""
    try:
        seal = Seal(**json.loads(line))
        facts = asdict(seal)
        numbers = [facts.pop(name) for name in ("number", "sequence")]
        is_fit = all(type(number) is int and 0 <= number < 1 << 63 for number in numbers)
        "".join(facts.values()).encode()  # texts, and without half of a pair of surrogates
    except (ValueError, TypeError, RecursionError):
        return None
    return seal if is_fit else None


def _complete_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that have an end; none if there is no file. Raises OSError."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(path))
    content = path.read_bytes() if path.exists() else b""
    return [line + b"\n" for line in content.split(b"\n")[:-1]]


def last_numbers() -> dict[str, int]:
    """Return the number of the last seal of each key that has any, by the key's id."""
    return {file.seals[-1].key_id: file.seals[-1].number for file in read_all() if file.seals}


def last_seal() -> Seal | None:
    """Return the newest seal of all keys, as far as they can be trusted."""
    return max((seal for file in read_all() for seal in file.seals), key=lambda seal: seal.at, default=None)


def write_seal(head: ChainHead, checkpoint: str = "") -> Seal:
    """Seal that the chain ends with `head`, in the file and in the log; return the seal. Raises OSError if it fails."""
    key, key_id = settings.AUDIT_KEY, id_of_key(settings.AUDIT_KEY)
    path = path_of(key_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone("seal", lambda: None, wait_s=WAIT_S):
        written = _read(path, key).seals
        unsigned = Seal(
            number=len(_complete_lines(path)) + 1,
            at=datetime.now(UTC).isoformat(timespec="microseconds"),
            sequence=head.sequence,
            mac=head.mac,
            key_id=key_id,
            previous=written[-1].signature if written else GENESIS,
            checkpoint=checkpoint,
        )
        seal = replace(unsigned, signature=unsigned.signed_with(key))
        _append(path, json.dumps(seal.facts()))
    end = anchor(seal.sequence, seal.mac)
    logger.info("[AUDIT] SEALED: number=%d, anchor=%s, signature=%s", seal.number, end, seal.signature)
    return seal


def _append(path: Path, line: str) -> None:
    """Add a line that survives a power cut, in the place of one without an end."""
    with path.open("ab") as file:
        file.truncate(sum(len(complete) for complete in _complete_lines(path)))
        file.write(f"{line}\n".encode("ascii"))
    sync(path)
    sync(path.parent)
