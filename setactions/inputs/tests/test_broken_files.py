"""Files that are no list of customers: each gets a sentence, with the line where there is one, and nothing is sent."""

import pytest

from jobs.models import Batch
from setactions.batches.tests.commanding import command
from setactions.inputs.tests.corpus import BAD_BYTES
from tmsdash.tests.fixtures import TOKEN

pytestmark = pytest.mark.pages

A, B = "0" * 32, "1" * 32
LONG = "The line is longer than 1,048,576 characters"

# What only the command reads; all that is the same on the page is in the corpus.
BROKEN = {name: (content, errors[0]) for name, (content, errors) in BAD_BYTES.items()} | {
    "an endless line": (b"id\n" + b"7" * 50_000_000, f"Line 2: {LONG}"),
    "an endless first line": (b"7" * 50_000_000, f"Line 1: {LONG}"),
    "two actions for one": (
        f"id,action\n{A},PE-Enable\n{A},T-Enable\n".encode(),
        "Line 3: The same customer as in line 2, with another action",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_gets_a_clear_sentence_and_sends_nothing(name, olivia, tms, tmp_path, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    content, sentence = BROKEN[name]
    file = tmp_path / "fleet.csv"
    file.write_bytes(content)
    ended = command(file, "--yes", "--confirm=1")
    assert ended.code == 1
    assert "Nothing was sent" in ended.err
    assert sentence in ended.err
    assert len(ended.err) < 1000
    assert tms.calls() == []
    assert not Batch.objects.exists()


STRICT = {
    "an unusual id": (f"id\n{A}\nfoo\n", "Line 3: The id looks unusual"),
    "only the case differs": (
        f"id\n{'a' * 32}\n{'A' * 32}\n",
        "Line 3: The id differs only by upper and lower case from the one in line 2",
    ),
}


@pytest.mark.parametrize("name", STRICT)
def test_what_looks_unusual_is_refused_when_strict_and_named_else(name, olivia, tms, tmp_path, monkeypatch):
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    content, sentence = STRICT[name]
    file = tmp_path / "fleet.csv"
    file.write_text(content)
    strict = command(file, "--yes", "--strict")
    assert (strict.code, tms.calls()) == (1, [])
    assert sentence in strict.err
    ended = command(file, "--dry-run")
    assert ended.code == 0
    assert sentence in ended.out
