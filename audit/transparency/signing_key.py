"""The key that signs checkpoints of the audit, and the public halves with which everybody can check them.

1. Only the host that seals has it: in AUDIT_SIGNING_KEY, or in a file of VAR_DIR that the first `audit_seal` makes. It
   signs, no more: whoever has AUDIT_KEY alone cannot sign a checkpoint.
2. Each key is noted in the chain when it signs for the first time, with its public half.
3. All keys of a log sign under one name, the log's origin, which is made from the first of them.
4. A key whose predecessor is not among AUDIT_OLD_SIGNING_KEYS signs nothing: it may be somebody else's.
"""

import os
import tempfile
from base64 import b64decode, b64encode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from audit import chain
from audit.choices import Kind
from audit.proof.lost_keys import settings_changed
from audit.proof.stored import StoredEntry, stored_entries
from audit.transparency import checkpoints
from audit.transparency.notes import Checkpoint, NoteError, PublicKey
from tmsdash.db.files import sync

WHAT = "audit signing key"
KEY_BYTES = 32


class SigningKeyError(Exception):
    """There is no key that may sign. The text says why, and what to do, as sentences."""


def path() -> Path:
    """Return the file that holds the key unless AUDIT_SIGNING_KEY does."""
    return Path(settings.VAR_DIR) / "audit_signing_key"


def present() -> Ed25519PrivateKey | None:
    """Return this host's key, None if it has none; raises SigningKeyError if what should hold it does not."""
    if settings.AUDIT_SIGNING_KEY:
        return Ed25519PrivateKey.from_private_bytes(b64decode(settings.AUDIT_SIGNING_KEY))
    try:
        content = b64decode(path().read_text(encoding="ascii").strip(), validate=True)
        return Ed25519PrivateKey.from_private_bytes(content)
    except FileNotFoundError:
        return None
    except ValueError:
        raise SigningKeyError(
            f"{path()} does not hold a key, {KEY_BYTES} bytes in base64. Put the right one back."
        ) from None
    except OSError as error:
        raise SigningKeyError(f"{path()} cannot be read: {error.strerror}.") from None


def make() -> Ed25519PrivateKey:
    """Return this host's key, which is made and kept in its file if there is none. Raises SigningKeyError."""
    key = present()
    if key is None:
        _keep(Ed25519PrivateKey.generate().private_bytes_raw())
        key = present()
    if key is None:
        raise SigningKeyError(f"{path()} was made, and is gone again.")
    return key


def signer(last: Checkpoint | None) -> tuple[Ed25519PrivateKey, PublicKey]:
    """Return the key that may sign the checkpoint behind the `last` one, and its public half.

    Without a last one a key is made, if this host has none. Raises SigningKeyError if the key is not the log's.
    """
    key = present() if last else make()
    if key is None:
        raise SigningKeyError(
            f"This host has no key that signs checkpoints, and another one has signed some: seal on the host that has "
            f"it, or put {path()} back from your copy. If it is lost: manage.py audit_keys shows its public half, "
            "which belongs into AUDIT_OLD_SIGNING_KEYS; then set AUDIT_SIGNING_KEY to what `openssl rand -base64 32` "
            "prints."
        )
    if last is None:
        return key, _public(key, _first_origin(key))
    public = _public(key, last.origin)
    if not any(last.signature_of(known) for known in (public, *old())):
        raise SigningKeyError(
            f"The last checkpoint, of {last.size:,} entries, is signed neither with this host's key nor with one of "
            "AUDIT_OLD_SIGNING_KEYS. If the key was changed on purpose, add the public half of the one before there: "
            "manage.py audit_keys shows it. If not, put the right key back."
        )
    return key, public


def known_public_keys() -> list[PublicKey]:
    """Return the public halves of the keys whose checkpoints count, the present one first.

    On a host without a key they are those that the chain notes. Raises SigningKeyError, NoteError or DatabaseError.
    """
    key, last = present(), checkpoints.last()
    own = noted() if key is None else [_public(key, last.origin if last else _first_origin(key))]
    return list(dict.fromkeys([*own, *old()]))


def old() -> list[PublicKey]:
    """Return the keys before the present one that are known here; raises SigningKeyError."""
    try:
        return [PublicKey.parse(text) for text in settings.AUDIT_OLD_SIGNING_KEYS]
    except NoteError as error:
        raise SigningKeyError(f"AUDIT_OLD_SIGNING_KEYS: {error}") from None


def noted() -> list[PublicKey]:
    """Return the keys that the entries in the database note, the newest first: those whose macs fit."""
    sealed = stored_entries(f"kind = '{Kind.SEALED.value}'", "sequence DESC LIMIT 1")
    changed = settings_changed(f'"what":"{WHAT}"', ())
    texts = [
        _noted_in(entry, name)
        for entry, name in [
            *((entry, "public_key") for entry in sealed),
            *((entry, "to") for entry in reversed(changed)),
        ]
    ]
    return list(dict.fromkeys(PublicKey.parse(text) for text in texts if text))


def pem(public: PublicKey) -> str:
    """Return a public key as openssl reads it."""
    key = Ed25519PublicKey.from_public_bytes(public.key)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _noted_in(entry: StoredEntry, name: str) -> str:
    """Return the key in the body of an entry; "" if there is none, or the entry is not proven."""
    return str(entry.facts.get(name, "")) if entry.is_signed(chain.known_keys()) else ""


def _public(key: Ed25519PrivateKey, origin: str) -> PublicKey:
    return PublicKey(origin, key.public_key().public_bytes_raw())


def _first_origin(key: Ed25519PrivateKey) -> str:
    """Return the origin of a log that has no checkpoint yet, which may be because it was restored from a backup."""
    digits = sha256(key.public_key().public_bytes_raw()).hexdigest()[:8]
    return next((public.name for public in old()), f"tms-dashboard/{digits}")


def _keep(content: bytes) -> None:
    """Write a new key into its file, mode 0600, unless there is one; raises SigningKeyError."""
    try:
        descriptor, own_file = tempfile.mkstemp(dir=path().parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{b64encode(content).decode('ascii')}\n")
            sync(Path(own_file))
            with suppress(FileExistsError):  # another process was faster; its key is the one
                os.link(own_file, path())
        finally:
            Path(own_file).unlink()
        sync(path().parent)
    except OSError as error:
        raise SigningKeyError(f"{path()} cannot be made: {error.strerror}.") from None
