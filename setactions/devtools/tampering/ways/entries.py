"""Entries and the head of the chain, without a key."""

from setactions.devtools.tampering.stranger import ENTRIES, FACTS
from setactions.devtools.tampering.way import Way, sql

INTENT = f"(SELECT max(sequence) FROM {ENTRIES} WHERE kind = 'INTENT')"
LAST = f"(SELECT max(sequence) FROM {ENTRIES})"
MIDDLE = f"(SELECT min(sequence) + 2 FROM {ENTRIES})"
CHANGED = "its mac does not match what it says"
COPY = (
    f"INSERT INTO {ENTRIES} (sequence, kind, created_at, {FACTS}, previous_mac, mac, key_id) "
    f"SELECT {LAST} + 1, 'SIGNED_IN', created_at, {FACTS}, {{}}, {{}}, key_id "
    f"FROM {ENTRIES} WHERE sequence = {LAST}"
).format
DEEP = "[" * 200_000


def changed(assignment: str, where: str = INTENT) -> str:
    return f"UPDATE {ENTRIES} SET {assignment} WHERE sequence = {where}"


def head(assignment: str) -> str:
    return f"UPDATE audit_chainhead SET {assignment}"


def deleted(where: str) -> str:
    return f"DELETE FROM {ENTRIES} WHERE {where}"


WAYS = [
    Way("another user in an entry", sql(changed("user_id = 'eve'")), CHANGED),
    Way("another address in an entry", sql(changed("ip_address = '192.0.2.1'")), CHANGED),
    Way("another action in an entry", sql(changed("action_type = 'PE-Direct'")), CHANGED),
    Way("another time in an entry", sql(changed("created_at = '2020-01-01 00:00:00'")), CHANGED),
    Way("another kind of an entry", sql(changed("kind = 'REFUSED'")), CHANGED),
    Way("another attempt in an entry", sql(changed("attempt_id = lower(hex(randomblob(16)))")), CHANGED),
    Way("a customer exchanged in a body", sql(changed("body = replace(body, 'e1', 'e2')")), CHANGED),
    Way("a body that nests deep", sql(changed(f"body = '{DEEP}'")), CHANGED),
    Way("a body that is a number", sql(changed("body = 5")), CHANGED),
    Way("a body of bytes that are no text", sql(changed("body = x'ff00fe'")), CHANGED),
    Way("a NUL in a user's name", sql(changed("user_id = user_id || char(0)")), CHANGED),
    Way("half a surrogate in a user's name", sql(changed("user_id = CAST(x'eda080' AS TEXT)")), "entry"),
    Way("a time that is a number", sql(changed("created_at = 12")), CHANGED),
    Way("a mac of random bytes", sql(changed("mac = randomblob(32)")), CHANGED),
    Way("a mac that is text", sql(changed("mac = 'none'")), "entry"),
    Way("a mac of no bytes", sql(changed("mac = x''")), CHANGED),
    Way("another mac of the entry before", sql(changed("previous_mac = randomblob(32)")), CHANGED),
    Way("a key that nobody has", sql(changed("key_id = '0123456789abcdef'")), "key"),
    Way("an entry taken out of the middle", sql(deleted(f"sequence = {MIDDLE}")), "missing"),
    Way("the last entry taken away", sql(deleted(f"sequence = {LAST}")), "It is missing, and so is everything after"),
    Way(
        "the last entry taken away, and the head moved back",
        sql(
            deleted(f"sequence = {LAST}"),
            head(f"sequence = {LAST}, mac = (SELECT lower(hex(mac)) FROM {ENTRIES} WHERE sequence = {LAST})"),
        ),
        "its signature does not match",
    ),
    Way("all entries taken away", sql(deleted("1")), "missing"),
    Way(
        "two entries exchanged",
        sql(
            changed("sequence = -1", MIDDLE),
            changed("sequence = sequence - 1", f"(SELECT min(sequence) + 3 FROM {ENTRIES} WHERE sequence > 0)"),
            changed(f"sequence = (SELECT min(sequence) + 3 FROM {ENTRIES} WHERE sequence > 0)", "-1"),
        ),
        "entry",
    ),
    Way("an entry added at the end", sql(COPY("mac", "randomblob(32)")), CHANGED),
    Way("the last entry added once more", sql(COPY("previous_mac", "mac")), CHANGED),
    Way("a number as high as there is", sql(changed("sequence = 9223372036854775807", LAST)), "missing"),
    Way("a number below zero", sql(changed("sequence = -5", MIDDLE)), "entry"),
    Way("no head", sql("DELETE FROM audit_chainhead"), "The head of the chain is missing"),
    Way("a head whose number is text", sql(head("sequence = 'many'")), "head"),
    Way("a head whose number is beyond all numbers", sql(head("sequence = 1e300")), "head"),
    Way("a head with another mac", sql(head(f"mac = '{'0' * 64}'")), "its signature does not match"),
    Way("a head under a key that nobody has", sql(head("key_id = '0123456789abcdef'")), "which is not known"),
    Way("a head whose signature is bytes", sql(head("signature = x'ff'")), "its signature does not match"),
]
