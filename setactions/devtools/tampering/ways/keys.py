"""With AUDIT_KEY in hand, or with the signing key as well; and a site put back to earlier, as a witness sees it."""

import json
from collections.abc import Callable
from functools import partial

from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.stranger import ENTRIES
from setactions.devtools.tampering.way import Way
from setactions.devtools.tampering.ways.entries import COPY, LAST

WITNESS = ("--witness", "{kept}/witness.txt")
ANCHORS = ("--anchors-from", "{kept}/log")
EXPORTED = f"(SELECT min(sequence) FROM {ENTRIES} WHERE kind = 'EXPORTED')"
YOUNG = f"UPDATE {ENTRIES} SET user_id = 'eve' WHERE sequence = {LAST}"  # which no seal covers yet
REWRITTEN = f"UPDATE {ENTRIES} SET user_id = 'eve' WHERE sequence = {EXPORTED}"
CUT = f"DELETE FROM {ENTRIES} WHERE sequence = {LAST}"
LAST_CHECKPOINT_AWAY = "DELETE FROM audit_storedcheckpoint WHERE size = (SELECT max(size) FROM audit_storedcheckpoint)"
OUT_OF_SIGHT = "Whoever holds both keys signs as the product does. What is kept elsewhere tells: see the next two."


def rewrite(*statements: str) -> Callable[[Forger], object]:
    return lambda forger: forger.rewrite(*statements)


def rewrite_and_seal(forger: Forger) -> None:
    forger.rewrite(REWRITTEN)
    forger.seal_again()


def rewrite_all(forger: Forger, signing_key: bytes = b"") -> None:
    forger.rewrite_all(lambda database: database.execute(REWRITTEN), signing_key=signing_key)


def rewrite_archive(forger: Forger) -> None:
    """Make the first archived entry another user's, with its mac and the archive's signature right."""

    def change(lines: list[str]) -> list[str]:
        entry = json.loads(lines[1])
        entry[7] = "eve"
        sequence, previous, _, _, attempt_id, kind, time, *facts = entry
        entry[2] = forger.sign("entry", previous, sequence, time, attempt_id, kind, *facts)
        return [lines[0], json.dumps(entry), *lines[2:]]

    forger.archive_again(change)


def forge_restore(forger: Forger) -> None:
    """Let the chain tell of a restored backup, so that the seals count as those of a history that was replaced."""
    body = json.dumps({"change": "restored", "seals": {forger.key_id: 99}}, separators=(",", ":"), sort_keys=True)
    forger.rewrite(
        f"DELETE FROM {ENTRIES} WHERE sequence > {EXPORTED}",
        f"UPDATE {ENTRIES} SET kind = 'SETTING_CHANGED', body = '{body}' WHERE sequence = {EXPORTED}",
    )


WAYS = [
    Way("history rewritten and signed", rewrite(REWRITTEN), "names another entry with this number"),
    Way(
        "an entry that is not sealed yet rewritten and signed",
        rewrite(YOUNG),
        why_not="Until the next seal, AUDIT_KEY is all that vouches for it. Anchors tell: see the next one.",
    ),
    Way(
        "an entry that is not sealed yet rewritten, but anchors were kept",
        rewrite(YOUNG),
        "ANCHORS DO NOT MATCH",
        options=ANCHORS,
    ),
    Way("the note of the last seal cut off", rewrite(CUT, CUT), "It is in the database, but no entry notes it"),
    Way(
        "the note of the last seal cut off with its checkpoint",
        rewrite(CUT, CUT, LAST_CHECKPOINT_AWAY),
        why_not="As if sealing had been interrupted. The seal is there; what is gone is younger than it.",
    ),
    Way("the end cut off, as far as it is sealed", rewrite(CUT, CUT, CUT), "but it is not there"),
    Way("an archived entry rewritten and signed", rewrite_archive, "entry"),
    Way("a restored backup that never was", forge_restore, "attempt"),
    Way("history rewritten, signed and sealed", rewrite_and_seal, "checkpoint"),
    Way("all of it, with a signing key of one's own", partial(rewrite_all, signing_key=b"x" * 32), "checkpoint"),
    Way("all of it, with both keys", rewrite_all, why_not=OUT_OF_SIGHT),
    Way("all of it, with both keys, but anchors were kept", rewrite_all, "ANCHORS DO NOT MATCH", options=ANCHORS),
    Way("all of it, with both keys, but a witness has seen it", rewrite_all, "witness", options=WITNESS),
    Way(
        "databases and seals put back to earlier, but a witness has seen them",
        lambda forger: forger.take_back("audit.db", "jobs.db", "app.db", seals=True),
        "witness",
        options=WITNESS,
    ),
    Way(
        "an entry more, signed",
        rewrite(COPY("x''", "x''")),
        why_not="It is signed as the product signs. Who had the key at that time is all that can be said.",
    ),
]
