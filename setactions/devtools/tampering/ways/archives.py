"""The archive of old entries, without a key."""

import gzip
import json
from collections.abc import Callable, Sequence

from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.stranger import Stranger
from setactions.devtools.tampering.way import Way

Lines = list[str]
BOMB = 64 << 20


def lines(change: Callable[[Lines], Sequence[str]]) -> Callable[[Forger], object]:
    return lambda stranger: stranger.with_archive(change)


def header(text: str) -> Callable[[Forger], object]:
    return lines(lambda archive: [text, *archive[1:]])


def entry(change: Callable[[list[object]], object]) -> Callable[[Forger], object]:
    """Change the second entry: a list of its columns."""
    return lines(lambda archive: [*archive[:2], json.dumps(change(json.loads(archive[2]))), *archive[3:]])


def with_column(number: int, value: object) -> Callable[[Forger], object]:
    return entry(lambda columns: [*columns[:number], value, *columns[number + 1 :]])


def content(change: Callable[[bytes], bytes]) -> Callable[[Forger], object]:
    return lambda stranger: stranger.archive.write_bytes(change(stranger.archive.read_bytes()))


def flip(compressed: bytes) -> bytes:
    middle = len(compressed) // 2
    return compressed[:middle] + bytes([compressed[middle] ^ 255]) + compressed[middle + 1 :]


def rename(old: str, new: str) -> Callable[[Forger], object]:
    def act(stranger: Stranger) -> None:
        archive = stranger.archive
        archive.rename(archive.with_name(archive.name.replace(old, new)))

    return act


def copy_as(name: str) -> Callable[[Forger], object]:
    return lambda stranger: (stranger.seal_folder / name).write_bytes(stranger.archive.read_bytes())


def make_folder(stranger: Stranger) -> None:
    archive = stranger.archive
    archive.unlink()
    archive.mkdir()


WAYS = [
    Way("the archive taken away", lambda stranger: stranger.archive.unlink(), "not in the archives either"),
    Way("the archive empty", content(lambda _: b""), "archive"),
    Way("the archive cut", content(lambda compressed: compressed[: len(compressed) // 2]), "archive"),
    Way("a byte of the archive changed", content(flip), "archive"),
    Way("the archive not compressed", content(gzip.decompress), "archive"),
    Way("a folder in the place of the archive", make_folder, "archive"),
    Way("another user in an archived entry", with_column(7, "eve"), "entry"),
    Way("an archived entry taken away", lines(lambda archive: [*archive[:2], *archive[3:]]), "entry"),
    Way(
        "an archived entry that nests deep",
        lines(lambda archive: [*archive[:2], "[" * 200_000, *archive[3:]]),
        "damaged",
    ),
    Way("an archived entry that is an object", entry(lambda _: {}), "damaged"),
    Way("an archived entry of numbers", entry(lambda columns: [1] * len(columns)), "archive"),
    Way("an archived entry whose number is text", with_column(0, "two"), "archive"),
    Way("an archived entry without a body", with_column(10, None), "archive"),
    Way("an archived entry of 64 MiB", with_column(10, "x" * BOMB), "archive"),
    Way("the archive's signature taken away", lines(lambda archive: archive[:-1]), "signature does not match"),
    Way(
        "another signature of the archive", lines(lambda archive: [*archive[:-1], "0" * 64]), "signature does not match"
    ),
    Way("lines behind the archive's signature", lines(lambda archive: [*archive, archive[1]]), "archive"),
    Way("a header that is garbage", header("nothing"), "archive"),
    Way("a header that is a list", header("[]"), "archive"),
    Way("a header that nests deep", header("[" * 200_000), "archive"),
    Way("a header that names another key", header('{"key_id": "0123456789abcdef"}'), "archive"),
    Way("other numbers in the archive's name", rename("-000000000001-", "-000000000002-"), "archive"),
    Way("the archive under another name", rename("audit-", "kept-"), "not in the archives either"),
    Way("a copy under another name", copy_as("audit-old.jsonl.gz"), "audit-old.jsonl.gz"),
    Way(
        "a file that is no archive under such a name",
        lambda stranger: (stranger.seal_folder / "audit-2020.jsonl.gz").write_bytes(b"nothing"),
        "audit-2020.jsonl.gz",
    ),
]
