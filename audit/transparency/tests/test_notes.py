"""Signed notes are those of C2SP: what others sign is valid here, and nothing that was changed is."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.transparency.merkle import EMPTY
from audit.transparency.notes import COSIGNATURE, ED25519, Checkpoint, NoteError, PublicKey, _signature, parse_many

# The example in the documentation of golang.org/x/mod/sumdb/note, where the format comes from.
OTHERS_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
OTHERS_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
OTHERS_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)

ORIGIN = "tms-dashboard/0123abcd"
AT = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)
SEEN_AT = datetime(2026, 11, 30, 13, 0, 2, tzinfo=UTC)
LOG, WITNESS = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))


def public(name, key, algorithm=ED25519):
    return PublicKey(name, key.public_key().public_bytes_raw(), algorithm)


def test_a_note_that_others_signed_is_valid_until_it_is_changed():
    key = PublicKey.parse(OTHERS_KEY)
    assert str(key) == OTHERS_KEY
    note = Checkpoint("", 0, b"", None, OTHERS_TEXT, (_signature(OTHERS_LINE),))
    assert note.signature_of(key)
    assert not replace(note, text=OTHERS_TEXT.replace("answer", "cause")).signature_of(key)
    assert not note.signature_of(PublicKey("PeterNeumann", bytes(32)))


def test_a_checkpoint_comes_back_as_it_was_signed_by_the_log_and_by_a_witness():
    checkpoint = Checkpoint.make(ORIGIN, 5, EMPTY, AT).signed(ORIGIN, LOG).signed("witness", WITNESS, SEEN_AT)
    lines = str(checkpoint).splitlines()
    assert lines[:5] == [ORIGIN, "5", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "time 2026-11-30T12:00:01Z", ""]
    again = Checkpoint.parse(str(checkpoint))
    assert again == checkpoint
    assert again.signature_of(public(ORIGIN, LOG))
    assert again.signature_of(public("witness", WITNESS, COSIGNATURE)).seen_at == SEEN_AT
    # Not what they did not sign: each other's part, or in another way.
    for stranger in (public(ORIGIN, WITNESS), public("witness", WITNESS), public(ORIGIN, LOG, COSIGNATURE)):
        assert again.signature_of(stranger) is None
    assert parse_many(f"{checkpoint}\n{checkpoint}") == [checkpoint, checkpoint]
    assert parse_many("") == []


def test_no_changed_byte_of_a_checkpoint_is_valid():
    note = str(Checkpoint.make(ORIGIN, 5, EMPTY, AT).signed(ORIGIN, LOG)).encode()
    key = public(ORIGIN, LOG)
    for place in range(len(note)):
        changed = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
        try:
            checkpoint = Checkpoint.parse(changed.decode(errors="replace"))
        except NoteError:
            continue
        assert not checkpoint.signature_of(key), place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        ORIGIN,
        f"{ORIGIN}\n5\n{'A' * 43}=\n",
        f"{ORIGIN}\n05\n{'A' * 43}=\n\n{OTHERS_LINE}\n",
        f"{ORIGIN}\n-5\n{'A' * 43}=\n\n{OTHERS_LINE}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{'A' * 43}=\n\n{OTHERS_LINE}\n",
        f"{ORIGIN}\n5\n{'A' * 42}=\n\n{OTHERS_LINE}\n",
        f"{ORIGIN}\n5\n{'A' * 43}=\n\n{OTHERS_LINE}",
        f"{ORIGIN}\n5\n{'A' * 43}=\n\n— x AAAA\n",
        f"{ORIGIN}\n5\n{'A' * 43}=\n\nno signature\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text):
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@pytest.mark.parametrize("text", ["", "a", OTHERS_KEY[:-2], OTHERS_KEY.replace("c74f", "c74e"), "a+b+c", "é" * 300])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(NoteError):
        PublicKey.parse(text)


def test_a_file_that_ends_within_a_checkpoint_is_refused():
    note = str(Checkpoint.make(ORIGIN, 5, EMPTY, AT).signed(ORIGIN, LOG))
    with pytest.raises(NoteError):
        parse_many(f"{note}\n{note[:40]}")
