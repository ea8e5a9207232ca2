"""The file of seals, without a key."""

import json
from collections.abc import Callable, Sequence

from setactions.devtools.tampering.forger import Forger
from setactions.devtools.tampering.stranger import Stranger
from setactions.devtools.tampering.way import Way

Lines = list[str]


def lines(change: Callable[[Lines], Sequence[str]]) -> Callable[[Forger], object]:
    return lambda stranger: stranger.with_seals(change)


def last_with(**changes: object) -> Callable[[Forger], object]:
    return lines(lambda seals: [*seals[:-1], json.dumps(json.loads(seals[-1]) | changes)])


def make_folder(stranger: Stranger) -> None:
    seals = stranger.seals
    seals.unlink()
    seals.mkdir()


def remove_folder(stranger: Stranger) -> None:
    """Remove the folder, archives included."""
    for path in stranger.seal_folder.iterdir():
        path.unlink()
    stranger.seal_folder.rmdir()


def tear(stranger: Stranger) -> None:
    with stranger.seals.open("a") as file:
        file.write('{"number": 4, "at":')


WAYS = [
    Way("the last seal taken away", lines(lambda seals: seals[:-1]), "seal"),
    Way("the first seal taken away", lines(lambda seals: seals[1:]), "seals before it are missing"),
    Way("a seal taken out of the middle", lines(lambda seals: [seals[0], *seals[2:]]), "seals before it are missing"),
    Way("no file of seals", lambda stranger: stranger.seals.unlink(), "seal"),
    Way("an empty file of seals", lines(lambda seals: []), "seal"),
    Way("no folder of seals", remove_folder, "not in the archives either"),
    Way("a folder in the place of the seals", make_folder, "seal"),
    Way("a seal of another time", last_with(at="2020-01-01T00:00:00.000000"), "the seal was changed"),
    Way("a seal of another entry", last_with(sequence=1), "the seal was changed"),
    Way("a seal whose number is text", last_with(number="three"), "seal"),
    Way("a seal whose entry is a list", last_with(sequence=[1]), "seal"),
    Way("a seal with a field too many", last_with(mine=1), "this is no seal"),
    Way("a seal twice", lines(lambda seals: [*seals, seals[-1]]), "seals before it are missing"),
    Way("seals in another order", lines(lambda seals: [*reversed(seals)]), "seals before it are missing"),
    Way("a line that is no JSON", lines(lambda seals: [*seals, "nothing"]), "this is no seal"),
    Way("a line that is a list", lines(lambda seals: [*seals, "[1, 2]"]), "this is no seal"),
    Way("a line that nests deep", lines(lambda seals: [*seals, "[" * 200_000]), "this is no seal"),
    Way("a number of 5,000 digits", lines(lambda seals: [*seals, "9" * 5_000]), "this is no seal"),
    Way("bytes that are no text", lambda stranger: stranger.seals.write_bytes(b"\xff\xfe\n"), "this is no seal"),
    Way(
        "half a line at the end",
        tear,
        why_not="A crash leaves that behind; it was never reported as a seal, and the next one takes its place.",
    ),
    Way(
        "seals of another site in the folder",
        lambda stranger: (stranger.seal_folder / f"seals-{'0' * 16}.jsonl").write_text("{}\n"),
        why_not="Several sites may share a folder. The file is named as not looked at.",
    ),
]
