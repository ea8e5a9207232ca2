"""Files that are sent or written row by row: a part of one never looks like the whole."""

import csv
import io
import json
import logging
import shutil
from pathlib import Path

import pytest

from tmsdash.downloads import DOWNLOAD_AGAIN, INCOMPLETE, IncompleteError, download, mark_of, marked, whole_file

TEXT = INCOMPLETE.format(next_step=DOWNLOAD_AGAIN)
DAMAGED = ValueError("a row is damaged\x1b[31m")


def breaking(*lines, error=DAMAGED):
    yield from lines
    raise error


def test_what_breaks_off_ends_with_a_line_that_says_so_and_one_line_in_the_log(caplog):
    caplog.set_level(logging.ERROR)
    answer = download(breaking("a\r\n", "b\r\n", "c\r\n"), "all.csv", "text/csv")
    *rows, last = csv.reader(io.StringIO(answer.getvalue().decode()))
    assert (rows, last) == ([["a"], ["b"], ["c"]], [TEXT])
    [record] = caplog.records
    assert (record.levelname, record.exc_info) == ("ERROR", None)
    assert record.getMessage() == (
        "[DOWNLOAD] EXCEPTION: all.csv was sent incomplete, and its last line says so. "
        r"The rows could not be read to their end (ValueError: a row is damaged\x1b[31m)."
    )


def test_json_lines_stay_json_to_the_last():
    answer = download(breaking("{}\n", "{}\n"), "all.jsonl", "application/jsonl")
    assert [json.loads(line) for line in answer.getvalue().splitlines()] == [{}, {}, {"incomplete": TEXT}]


def test_a_server_gets_rows_in_chunks_and_the_last_line_behind_all_that_were_read(caplog):
    rows = [f"{number:099}\n" for number in range(2_000)]
    chunks = list(download(breaking(*rows), "all.csv", "text/csv").streaming_content)
    assert [len(chunk) for chunk in chunks[:-1]] == [65_600] * 3  # the first rows that make 64 kB
    assert b"".join(chunks).decode() == "".join(rows) + mark_of("csv")


def test_what_is_whole_has_no_such_line(caplog):
    assert download(iter(["a\r\n", "b\r\n", "c\r\n"]), "all.csv", "text/csv").getvalue() == b"a\r\nb\r\nc\r\n"
    assert download(iter(["a\r\n"]), "all.csv", "text/csv").getvalue() == b"a\r\n"
    assert caplog.records == []


@pytest.mark.parametrize("lines", [(), ("header\r\n",)])
def test_what_fails_in_the_first_rows_is_no_download_at_all(lines):
    with pytest.raises(ValueError, match="damaged"):
        download(breaking(*lines), "all.csv", "text/csv")


def test_a_reader_that_goes_away_is_no_fault_of_the_rows(caplog):
    lines = marked(iter(["a", "b"]), "mark")
    next(lines)
    lines.close()
    assert caplog.records == []


def test_a_reason_that_is_a_sentence_stays_as_it_is():
    lines = marked(breaking(error=IncompleteError("Chunk 3 is missing.")), mark_of("csv"))
    assert next(lines) == mark_of("csv")
    with pytest.raises(IncompleteError, match="^Chunk 3 is missing.$"):
        next(lines)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.csv"


def test_a_file_has_its_name_only_once_it_is_whole(path):
    path.write_text("before")
    path.chmod(0o640)
    with whole_file(path) as file:
        file.write("after")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_that_fails_leaves_nothing_behind(path, is_new, error):
    with pytest.raises(error), whole_file(path, is_new=is_new) as file:
        file.write("half")
        raise error
    assert [*path.parent.iterdir()] == []


def test_what_was_there_outlives_a_failure(path):
    path.write_text("before")
    with pytest.raises(ValueError, match="damaged"), whole_file(path) as file:
        file.writelines(breaking("half"))
    assert path.read_text() == "before"


def test_a_link_and_a_stream_stay_what_they_are(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere.csv")
    with whole_file(path) as file:
        file.write("linked")
    assert path.is_symlink()
    assert (tmp_path / "elsewhere.csv").read_text() == "linked"
    with whole_file(Path("/dev/null")) as file:
        file.write("gone")


def test_a_new_file_replaces_nothing_and_is_for_its_owner_only(path):
    with whole_file(path, is_new=True) as file:
        file.write("whole")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError), whole_file(path, is_new=True):
        pass
    assert path.read_text() == "whole"


@pytest.mark.parametrize("is_new", [True, False])
def test_no_part_of_a_file_is_ever_open_to_more_than_the_whole(path, is_new, monkeypatch):
    modes = []
    monkeypatch.setattr(shutil, "copymode", lambda _, partial: modes.append(partial.stat().st_mode & 0o777))
    if not is_new:
        path.touch(mode=0o600)
    with whole_file(path, is_new=is_new):
        pass
    assert modes == [0o600]


def test_a_folder_that_is_not_there_is_named_by_the_file_in_it(tmp_path):
    path = tmp_path / "no" / "out.csv"
    with pytest.raises(FileNotFoundError) as raised, whole_file(path):
        pass
    assert raised.value.filename == str(path)
