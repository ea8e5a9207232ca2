"""What a witness keeps, in a folder on its own machine: what it has seen, whom it trusts, and its key.

1. `witness.txt` holds every checkpoint that was taken, the newest last, each with the witness's own signature. It is
   only added to, and each addition survives a power cut. An end that was half written when something broke was never
   reported, and is cut off before the next addition; anything else that does not belong there stops the witness.
2. `rewritten.txt` says that the history was rewritten, with what proves it. While it is there nothing is taken.
3. `public_keys.txt` holds the keys of the log that a person gave, in the order in which they follow each other.
4. `witness_key` signs. It is made once.
"""

import os
import re
import socket
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.transparency.notes import COSIGNATURE, ED25519, Checkpoint, NoteError, PublicKey
from tmsdash.db.files import sync
from tmsdash.db.locks import hold

REWRITTEN = "HISTORY WAS REWRITTEN."
_KEY = "PRIVATE+KEY"  # how Go's notes write one: PRIVATE+KEY+NAME+KEY ID+BASE64
_MOST_UNFINISHED = 4096  # bytes: more than any checkpoint has


class FolderError(Exception):
    """The folder cannot be used as it is. The text is a sentence or two, with what to do."""


class Folder:
    """A witness's folder, which one process at a time uses: see `opened`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.witnessed = path / "witness.txt"
        self.evidence = path / "rewritten.txt"
        self._keys = path / "public_keys.txt"
        self._own_key = path / "witness_key"

    def __str__(self) -> str:
        return str(self._path)

    # -- Whom it trusts -----------------------------------------------------------------------------------------------

    def keys(self) -> list[PublicKey]:
        """Return the log's keys, the newest last; none before the first use. Raises FolderError."""
        try:
            return [PublicKey.parse(line) for line in _text_of(self._keys).splitlines()]
        except NoteError as error:
            raise FolderError(f"{self._keys} holds what is no public key. {error} Put its copy back.") from None

    def trust(self, keys: list[PublicKey]) -> None:
        """Keep these as the log's keys."""
        _replace(self._keys, "".join(f"{key}\n" for key in keys))

    # -- What it has seen ---------------------------------------------------------------------------------------------

    def last(self) -> Checkpoint | None:
        """Return the last checkpoint that was taken; raises FolderError if the file is not as it was written."""
        records = self._whole()
        if not records:
            return None
        try:
            checkpoint = Checkpoint.parse(b"\n\n".join(records.rsplit(b"\n\n", 2)[-2:]).decode())
        except (NoteError, UnicodeDecodeError):
            checkpoint = None
        if checkpoint is None or checkpoint.signature_of(self.public_key) is None:
            raise FolderError(
                f"The last checkpoint of {self.witnessed} is not as this witness wrote it, or {self._own_key} is "
                "another one's. Put the copies of both back."
            )
        return checkpoint

    def has_taken(self, checkpoint: Checkpoint) -> bool:
        """Tell whether this very checkpoint, signed at the same time, was taken before."""
        records = f"\n\n{self._whole().decode('utf-8', 'replace')}"
        return f"\n\n{checkpoint.text}" in records

    def add(self, checkpoint: Checkpoint, seen_at: datetime) -> Checkpoint:
        """Sign a checkpoint and keep it, so that a power cut does not lose it; return it as it was written."""
        signed = checkpoint.signed(self.public_key.name, self._private_key, seen_at)
        records = self._whole()
        with self.witnessed.open("ab") as file:
            file.truncate(len(records))
            file.write((b"\n" if records else b"") + str(signed).encode())
        sync(self.witnessed)
        sync(self._path)
        return signed

    def _whole(self) -> bytes:
        """Return what was written to its end; raises FolderError if what follows is not half a checkpoint."""
        content = _bytes_of(self.witnessed)
        end = len(content)
        while end and not self._is_end_of_record(content, end):
            end = content.rfind(b"\n", 0, end - 1) + 1
        rest = content[end:]
        has_signatures = rest.count("\n— ".encode()) > 1 and rest.endswith(b"\n")
        if has_signatures or rest.count(b"\n\n") > 1 or len(rest) > _MOST_UNFINISHED:
            raise FolderError(
                f"{self.witnessed} ends with what this witness did not write. Nothing was changed. Put the copies of "
                f"it and of {self._own_key} back, or begin with a new folder and keep this one."
            )
        return content[:end]

    def _is_end_of_record(self, content: bytes, end: int) -> bool:
        line = content[content.rfind(b"\n", 0, end - 1) + 1 : end]
        return line.startswith(f"— {self.public_key.name} ".encode()) and line.endswith(b"\n")

    # -- That the history was rewritten --------------------------------------------------------------------------------

    def rewritten(self) -> str:
        """Return the sentence about it, "" if the history was never found rewritten."""
        return next(iter(_text_of(self.evidence).splitlines()), REWRITTEN) if self.evidence.exists() else ""

    def keep_evidence(self, sentence: str, parts: dict[str, str]) -> None:
        """Note for ever that the history was rewritten, with what proves it, each part under its heading."""
        text = "".join(f"\n{heading}:\n\n{part.rstrip()}\n" for heading, part in parts.items())
        _replace(self.evidence, f"{sentence}\n{text}")

    # -- Its own key --------------------------------------------------------------------------------------------------

    @property
    def public_key(self) -> PublicKey:
        """The public half of its key, with its name."""
        name, private = self._own
        return PublicKey(name, private.public_key().public_bytes_raw(), COSIGNATURE)

    @property
    def _private_key(self) -> Ed25519PrivateKey:
        return self._own[1]

    @cached_property
    def _own(self) -> tuple[str, Ed25519PrivateKey]:
        if not self._own_key.exists():
            if _bytes_of(self.witnessed):
                raise FolderError(f"{self._own_key} is missing, which signed {self.witnessed}. Put its copy back.")
            _replace(self._own_key, _written_key(_own_name(), Ed25519PrivateKey.generate()))
        name, _, rest = _text_of(self._own_key).strip().removeprefix(f"{_KEY}+").partition("+")
        try:
            content = b64decode(rest.partition("+")[2], validate=True)
            private = Ed25519PrivateKey.from_private_bytes(content[1:])
        except (Base64Error, ValueError):
            private = None
        if private is None or f"{_KEY}+{name}+{rest}\n" != _written_key(name, private):
            raise FolderError(f"{self._own_key} holds no key of a witness. Put its copy back.")
        return name, private


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Make a folder if there is none, and have it alone; raises OSError if it cannot be used."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = hold(path / "lock")
    try:
        yield Folder(path)
    finally:
        os.close(lock)


def given_key(text: str) -> PublicKey:
    """Return the key of a log, given as text or as the name of a file; raises NoteError or OSError."""
    if "+" not in text or os.path.exists(text):  # noqa: PTH110 (a key may be longer than a name)
        text = _text_of(Path(text), must_exist=True)
    key = PublicKey.parse(text)
    if key.algorithm != ED25519:
        raise NoteError("This is the key of a witness, not of a site. manage.py audit_keys shows the site's.")
    return key


def _own_name() -> str:
    """Return the name of a new witness: that of its machine."""
    return f"{re.sub(r'[^A-Za-z0-9.-]', '-', socket.gethostname())[:100] or 'unnamed'}/tms-dashboard-witness"


def _written_key(name: str, private: Ed25519PrivateKey) -> str:
    public = PublicKey(name, private.public_key().public_bytes_raw(), COSIGNATURE)
    content = bytes([COSIGNATURE]) + private.private_bytes_raw()
    return f"{_KEY}+{name}+{public.key_id.hex()}+{b64encode(content).decode('ascii')}\n"


def _bytes_of(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def _text_of(path: Path, *, must_exist: bool = False) -> str:
    content = path.read_bytes() if must_exist else _bytes_of(path)
    return content.decode("utf-8", "replace")


def _replace(path: Path, text: str) -> None:
    """Write a file, for its owner only, which is there whole or not at all, whatever happens meanwhile."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    sync(new)
    new.replace(path)
    sync(path.parent)
