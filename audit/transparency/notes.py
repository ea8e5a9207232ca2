"""Signed notes and checkpoints in the formats of C2SP (signed-note, tlog-checkpoint, tlog-cosignature).

A checkpoint is a text of lines: the origin of the log, the size of its tree, the root in base64, and here the time, as
an extension. Behind an empty line stand signatures, each on a line: — NAME BASE64(key id of 4 bytes, signature).
"""

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = 0x01  # signs the text
COSIGNATURE = 0x04  # of a witness: signs the text and when it was seen
_TIME_BYTES = 8
_NAME = re.compile(r"[^\s+]{1,255}")
_CHECKPOINT = re.compile(r"([^\n]{1,255})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n((?:[^\n]{1,255}\n){0,9})")
_TIME = re.compile(r"time ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)")
_SIGNATURE = re.compile(r"— ([^\s+]{1,255}) ([A-Za-z0-9+/]{1,400}={0,2})")


class NoteError(ValueError):
    """A text is no signed note, no checkpoint or no public key. It says so, as a sentence."""


@dataclass(frozen=True)
class PublicKey:
    """Who signs, under a name, and how; `str` is the key as C2SP writes it, `NAME+KEY ID+BASE64`."""

    name: str
    key: bytes
    algorithm: int = ED25519

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Return the key that a text holds; raises NoteError."""
        name, _, rest = text.strip().partition("+")
        encoded = rest.partition("+")[2]
        content = _decoded(encoded)
        if not _NAME.fullmatch(name) or len(content) != 33 or content[0] not in (ED25519, COSIGNATURE):
            raise NoteError("This is no public key: one is written NAME+KEY ID+BASE64.")
        made = cls(name, content[1:], content[0])
        if str(made) != text.strip():
            raise NoteError("This public key was not copied whole.")
        return made

    def __str__(self) -> str:
        content = bytes([self.algorithm]) + self.key
        return f"{self.name}+{self.key_id.hex()}+{b64encode(content).decode('ascii')}"

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that stand before its signatures."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.algorithm]) + self.key).digest()[:4]


@dataclass(frozen=True)
class Signature:
    """A line below a note."""

    name: str
    key_id: bytes
    content: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.content).decode('ascii')}\n"

    @property
    def seen_at(self) -> datetime:
        """When a witness saw the note; of a cosignature only."""
        return datetime.fromtimestamp(int.from_bytes(self.content[:_TIME_BYTES], "big"), UTC)


@dataclass(frozen=True)
class Checkpoint:
    """The log's tree at a moment, and who signed that. `at` is None in a log of others that tells no time."""

    origin: str
    size: int
    root: bytes
    at: datetime | None
    text: str
    signatures: tuple[Signature, ...] = ()

    @classmethod
    def make(cls, origin: str, size: int, root: bytes, at: datetime) -> "Checkpoint":
        """Return a checkpoint that nobody has signed yet; `at` is in UTC."""
        at = at.replace(microsecond=0)
        lines = [origin, f"{size:d}", b64encode(root).decode("ascii"), f"time {at:%Y-%m-%dT%H:%M:%SZ}"]
        return cls(origin, size, root, at, "".join(f"{line}\n" for line in lines))

    @classmethod
    def parse(cls, note: str) -> "Checkpoint":
        """Return the checkpoint of a note; raises NoteError. Whether it is signed, `signature_of` tells."""
        text, _, below = note.rpartition("\n\n")
        match = _CHECKPOINT.fullmatch(f"{text}\n")
        if not match or not below.endswith("\n"):
            raise NoteError("This is no checkpoint.")
        signatures = tuple(_signature(line) for line in below[:-1].split("\n"))
        times = [_TIME.fullmatch(line) for line in match[4].splitlines()]
        at = next((_time(time[1]) for time in times if time), None)
        made = cls(match[1], int(match[2]), _decoded(match[3]), at, match[0], signatures)
        if str(made) != note:  # base64 has several ways to write the same
            raise NoteError("This is no checkpoint as it was signed.")
        return made

    def __str__(self) -> str:
        return f"{self.text}\n{''.join(map(str, self.signatures))}"

    def signed(self, name: str, key: Ed25519PrivateKey, seen_at: datetime | None = None) -> "Checkpoint":
        """Return it with one signature more: of the log, or of a witness that saw it at a time."""
        time = None if seen_at is None else int(seen_at.timestamp()).to_bytes(_TIME_BYTES, "big")
        algorithm = ED25519 if time is None else COSIGNATURE
        public = PublicKey(name, key.public_key().public_bytes_raw(), algorithm)
        content = (time or b"") + key.sign(self._signed_text(time))
        signatures = *self.signatures, Signature(name, public.key_id, content)
        return Checkpoint(self.origin, self.size, self.root, self.at, self.text, signatures)

    def signature_of(self, key: PublicKey) -> Signature | None:
        """Return the valid signature of a key, None if there is none."""
        for signature in self.signatures:
            if (signature.name, signature.key_id) == (key.name, key.key_id) and self._is_valid(signature, key):
                return signature
        return None

    def _is_valid(self, signature: Signature, key: PublicKey) -> bool:
        time_bytes = _TIME_BYTES if key.algorithm == COSIGNATURE else 0
        time = signature.content[:time_bytes] if time_bytes else None
        try:
            public = Ed25519PublicKey.from_public_bytes(key.key)
            public.verify(signature.content[time_bytes:], self._signed_text(time))
        except (InvalidSignature, ValueError):
            return False
        return True

    def _signed_text(self, time: bytes | None) -> bytes:
        before = "" if time is None else f"cosignature/v1\ntime {int.from_bytes(time, 'big')}\n"
        return f"{before}{self.text}".encode()


def parse_many(text: str) -> list[Checkpoint]:
    """Return the checkpoints of a file, which stand behind one another with an empty line between; raises NoteError."""
    blocks = text.removesuffix("\n").split("\n\n") if text.strip() else []
    if len(blocks) % 2:
        raise NoteError("The file ends in the middle of a checkpoint.")
    return [Checkpoint.parse(f"{body}\n\n{below}\n") for body, below in zip(blocks[::2], blocks[1::2], strict=True)]


def _signature(line: str) -> Signature:
    match = _SIGNATURE.fullmatch(line)
    content = _decoded(match[2]) if match else b""
    if not match or len(content) < 5:
        raise NoteError("A line below the checkpoint is no signature.")
    return Signature(match[1], content[:4], content[4:])


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise NoteError("The base64 of a note or key cannot be read.") from None


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
