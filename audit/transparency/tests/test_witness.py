"""A witness takes what continues what it has seen, and nothing else; and it loses nothing of that."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.transparency.notes import Checkpoint, NoteError, PublicKey, parse_many
from audit.transparency.tests.logs import AT, Log
from audit.transparency.witness import RewrittenError, UnaskedError, UnprovenError, accept, look
from audit.transparency.witness_folder import Folder, FolderError, given_key, opened


@pytest.fixture
def folder(tmp_path):
    with opened(tmp_path / "witness") as folder:
        yield folder


def taken(folder):
    """What stands in witness.txt, as anybody reads it."""
    return parse_many(folder.witnessed.read_text()) if folder.witnessed.exists() else []


def grown(log, *leaves):
    """The same log with more leaves."""
    more = Log(*leaves, key=log.key)
    more.hashes = [*log.hashes, *more.hashes]
    return more


def test_each_checkpoint_that_continues_the_last_one_is_signed_and_kept(folder):
    log = Log(*range(300))
    first = look(folder, log, AT, log.public_key)
    assert (first.is_new, first.is_first, log.asked) == (True, True, [])
    log = grown(log, *range(300, 1000))
    later = look(folder, log, AT + timedelta(hours=1))  # the key is known now
    assert (later.is_new, later.is_first, log.asked) == (True, False, [(300, 1000)])
    assert [checkpoint.size for checkpoint in taken(folder)] == [300, 1000]
    for number, checkpoint in enumerate(taken(folder)):
        assert checkpoint.signature_of(log.public_key)
        assert checkpoint.signature_of(folder.public_key).seen_at == AT + timedelta(hours=number)


def test_the_same_tree_signed_at_another_time_is_nothing_new(folder):
    log = Log("a", "b")
    look(folder, log, AT, log.public_key)
    before = folder.witnessed.read_bytes()
    log.signed_at += timedelta(hours=1)
    seen = look(folder, log, AT + timedelta(days=3))
    assert (seen.is_new, seen.taken_at) == (False, AT)
    assert folder.witnessed.read_bytes() == before


REWRITTEN = {
    "older": lambda log: Log("a", "b", key=log.key),
    "of the same length": lambda log: Log("a", "x", "c", key=log.key),
    "longer, with another beginning": lambda log: Log("a", "x", "c", "d", key=log.key),
    "longer, with a proof of the true one": lambda log: lying(log),
    "longer, with no proof": lambda log: lying(log, []),
}


def lying(log, proof=None):
    """A rewritten log that shows the proof of the true one."""
    forged = Log("x", "y", "z", "d", key=log.key)
    forged.consistency = lambda old, new: grown(log, "d").consistency(old, new) if proof is None else proof
    return forged


@pytest.mark.parametrize("rewrite", REWRITTEN.values(), ids=REWRITTEN)
def test_a_history_that_was_rewritten_is_refused_for_ever_even_by_who_holds_the_key(folder, rewrite):
    log = Log("a", "b", "c")
    look(folder, log, AT, log.public_key)
    before = folder.witnessed.read_bytes()
    forged = rewrite(log)
    with pytest.raises(RewrittenError, match="HISTORY WAS REWRITTEN"):
        look(folder, forged, AT)
    evidence = folder.evidence.read_text()
    assert log.checkpoint().rstrip() in evidence  # both, each signed by the site's own key
    assert forged.checkpoint().rstrip() in evidence
    with pytest.raises(RewrittenError, match="begin again with a new folder"):
        look(folder, grown(log, "d"), AT)  # the true one comes too late
    assert folder.witnessed.read_bytes() == before


def test_an_old_answer_shown_again_is_not_taken_and_proves_no_rewriting(folder):
    """As a cache gives one, or a copy of the database that is behind: both checkpoints are of one history."""
    log = Log("a", "b")
    look(folder, log, AT, log.public_key)
    longer = grown(log, "c")
    look(folder, longer, AT)
    before = folder.witnessed.read_bytes()
    with pytest.raises(UnprovenError, match="had shown before the last one, of 3 entries"):
        look(folder, log, AT)
    assert not folder.rewritten()
    assert folder.witnessed.read_bytes() == before
    look(folder, grown(longer, "d"), AT)  # goes on as if nothing had been
    log.signed_at += timedelta(hours=1)
    with pytest.raises(RewrittenError, match="a history of 2 entries"):  # signed anew, it is no old answer
        look(folder, log, AT)


def test_it_is_told_even_if_what_proves_it_cannot_be_kept(folder):
    log = Log("a", "b")
    look(folder, log, AT, log.public_key)
    in_the_way = folder.evidence.with_name("rewritten.txt.new")
    in_the_way.mkdir()
    for _ in range(2):
        with pytest.raises(RewrittenError, match="could not be kept"):
            look(folder, Log("x", "y", key=log.key), AT)


def test_what_no_trusted_key_has_signed_is_not_taken_and_proves_nothing(folder):
    log, stranger = Log("a"), Log("a", "b")
    with pytest.raises(UnprovenError, match="not signed by a key that is trusted here"):
        look(folder, stranger, AT, log.public_key)
    assert folder.keys() == []  # a wrong key can be given anew
    look(folder, log, AT, log.public_key)
    for other in (stranger, Log("a", "b", key=log.key, origin="tms-dashboard/other")):
        with pytest.raises(UnprovenError, match="--accept-key"):
            look(folder, other, AT)
    elsewhere = Checkpoint.make("tms-dashboard/other", 1, log.tree().root(), AT).signed(log.origin, log.key)
    stranger.checkpoint = lambda: str(elsewhere)  # the right key, and not for this log
    with pytest.raises(UnprovenError, match="not signed"):
        look(folder, stranger, AT)
    tampered = grown(log, "b")
    note = tampered.checkpoint().replace("time 2026", "time 2027")
    tampered.checkpoint = lambda: note
    with pytest.raises(UnprovenError, match="not signed"):
        look(folder, tampered, AT)
    assert look(folder, grown(log, "b"), AT).is_new
    assert not folder.evidence.exists()


def test_a_new_key_is_trusted_once_a_person_says_so_and_the_old_one_no_more(folder):
    log = Log("a")
    with pytest.raises(FolderError, match="--public-key"):
        accept(folder, log.public_key)
    look(folder, log, AT, log.public_key)
    rotated = grown(log, "b")
    rotated.key = Ed25519PrivateKey.generate()
    with pytest.raises(UnprovenError):
        look(folder, rotated, AT)
    with pytest.raises(FolderError, match="--accept-key"):
        look(folder, rotated, AT, rotated.public_key)
    accept(folder, rotated.public_key)
    assert look(folder, grown(log, "b"), AT).is_new  # the old one, until the new one has signed
    rotated = grown(rotated, "c")
    assert look(folder, rotated, AT, rotated.public_key).is_new
    stolen = grown(rotated, "d")
    stolen.key = log.key
    with pytest.raises(UnprovenError, match="an earlier key"):
        look(folder, stolen, AT)
    with pytest.raises(FolderError, match="Take a new folder"):
        accept(folder, Log("a", origin="tms-dashboard/other").public_key)


def test_a_site_without_a_checkpoint_or_with_none_any_more_is_told_apart(folder):
    log = Log("a")
    empty = Log()
    empty.checkpoint = lambda: None
    with pytest.raises(UnaskedError, match="audit_seal"):
        look(folder, empty, AT, log.public_key)
    look(folder, log, AT, log.public_key)
    with pytest.raises(UnprovenError, match="it had one of 1 "):
        look(folder, empty, AT)
    empty.checkpoint = lambda: "<html>Sign in</html>"
    with pytest.raises(UnaskedError, match="--url"):
        look(folder, empty, AT)


def test_whatever_was_half_written_is_cut_off_and_nothing_else_is_lost(folder):
    log = Log("a")
    look(folder, log, AT, log.public_key)
    one = folder.witnessed.read_bytes()
    log = grown(log, "b")
    look(folder, log, AT)
    two = folder.witnessed.read_bytes()
    for end in {*range(0, len(two), 23), len(one) - 1, len(one), len(one) + 1, len(two) - 1}:
        folder.witnessed.write_bytes(two[:end])
        kept = folder.last()
        if end < len(one):
            assert kept is None
        else:
            assert kept.size == 1
        look(folder, log, AT, log.public_key)
        assert [checkpoint.size for checkpoint in taken(folder)] == ([1, 2] if end >= len(one) else [2])
    folder.witnessed.write_bytes(two + b"\0" * 512)  # as some file systems end a file after a power cut
    assert look(folder, grown(log, "c"), AT).is_new
    assert [checkpoint.size for checkpoint in taken(folder)] == [1, 2, 3]


def test_a_file_that_is_not_its_own_stops_the_witness_and_stays_as_it_is(folder, tmp_path):
    log = Log("a")
    look(folder, log, AT, log.public_key)
    whole, key = folder.witnessed.read_bytes(), tmp_path / "witness" / "witness_key"
    other = str(Checkpoint.parse(log.checkpoint()).signed("elsewhere/witness", log.key, AT)).encode()
    for content in (whole + b"\n" + other, other, whole + b"x" * 5000, whole[:-3] + b"AA\n"):
        folder.witnessed.write_bytes(content)
        with pytest.raises(FolderError, match="Put the copies"):
            look(folder, grown(log, "b"), AT)
        assert folder.witnessed.read_bytes() == content
    folder.witnessed.write_bytes(whole)
    written = key.read_text()
    for content in ("", "PRIVATE+KEY+x", written.replace("+", "-", 3), written[:-3]):
        key.write_text(content)
        with pytest.raises(FolderError, match="Put its copy back"):
            as_next(tmp_path).last()
    key.unlink()
    with pytest.raises(FolderError, match="witness_key is missing"):
        as_next(tmp_path).last()


def as_next(tmp_path):
    """The folder as the next process finds it."""
    return Folder(tmp_path / "witness")


def test_its_files_are_its_owners_only_and_its_key_is_made_once(folder, tmp_path):
    log = Log("a")
    look(folder, log, AT, log.public_key)
    key = (tmp_path / "witness" / "witness_key").read_bytes()
    look(as_next(tmp_path), grown(log, "b"), AT)
    assert (tmp_path / "witness" / "witness_key").read_bytes() == key
    for name in ("witness_key", "public_keys.txt"):
        assert (tmp_path / "witness" / name).stat().st_mode & 0o077 == 0
    assert (tmp_path / "witness").stat().st_mode & 0o077 == 0


def test_the_public_key_is_given_as_text_or_in_a_file(tmp_path):
    key = Log("a").public_key
    (tmp_path / "key.txt").write_text(f"{key}\n")
    assert given_key(str(key)) == given_key(f" {key}\n") == given_key(str(tmp_path / "key.txt")) == key
    with pytest.raises(NoteError, match="of a witness"):
        given_key(str(PublicKey(key.name, key.key, 4)))
    with pytest.raises(NoteError):
        given_key(str(key)[:-4])
    with pytest.raises(OSError, match="No such file"):
        given_key(str(tmp_path / "none.txt"))
