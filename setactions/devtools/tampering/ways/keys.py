"""With AUDIT_KEY in hand, and what can be done to the file of the key."""

import json
from collections.abc import Callable

from setactions.devtools.tampering.stranger import ENTRIES, KeyHolder
from setactions.devtools.tampering.way import Way
from setactions.devtools.tampering.ways.entries import COPY, LAST

ANCHORS = ("--anchors-from", "{kept}/log")
EXPORTED = f"(SELECT max(sequence) FROM {ENTRIES} WHERE kind = 'EXPORTED')"
REWRITTEN = f"UPDATE {ENTRIES} SET user_id = 'eve' WHERE sequence = {EXPORTED}"
OUT_OF_SIGHT = "Whoever holds AUDIT_KEY signs as the product does. What is kept elsewhere tells: see the next one."


def rewrite(*statements: str) -> Callable[[KeyHolder], object]:
    return lambda holder: holder.rewrite(*statements)


def rewrite_and_seal(holder: KeyHolder) -> None:
    holder.rewrite(REWRITTEN)
    holder.seal_again()


def rewrite_archive(holder: KeyHolder) -> None:
    """Make the first archived entry another user's, with its mac and the archive's signature right."""

    def change(lines: list[str]) -> list[str]:
        entry = json.loads(lines[1])
        entry[7] = "eve"
        sequence, previous, _, _, attempt_id, kind, time, *facts = entry
        entry[2] = holder.sign("entry", previous, sequence, time, attempt_id, kind, *facts)
        return [lines[0], json.dumps(entry), *lines[2:]]

    holder.archive_again(change)


def forge_restore(holder: KeyHolder) -> None:
    """Let the chain tell of a restored backup, so that the seals count as those of a history that was replaced."""
    body = json.dumps({"change": "restored", "seals": {holder.key_id: 99}}, separators=(",", ":"), sort_keys=True)
    holder.rewrite(
        f"DELETE FROM {ENTRIES} WHERE sequence > {EXPORTED}",
        f"UPDATE {ENTRIES} SET kind = 'SETTING_CHANGED', body = '{body}' WHERE sequence = {EXPORTED}",
    )


WAYS = [
    Way("history rewritten and signed", rewrite(REWRITTEN), "names another entry with this number"),
    Way(
        "the last entry cut off and the head signed", rewrite(f"DELETE FROM {ENTRIES} WHERE sequence = {LAST}"), "entry"
    ),
    Way("an archived entry rewritten and signed", rewrite_archive, "entry"),
    Way("history rewritten, signed and sealed", rewrite_and_seal, why_not=OUT_OF_SIGHT),
    Way(
        "history rewritten, signed and sealed, with anchors kept",
        rewrite_and_seal,
        "ANCHORS DO NOT MATCH",
        options=ANCHORS,
    ),
    Way("a restored backup that never was", forge_restore, "attempt"),
    Way(
        "an entry more, signed",
        rewrite(COPY("x''", "x''")),
        why_not="It is signed as the product signs. Who had the key at that time is all that can be said.",
    ),
]
