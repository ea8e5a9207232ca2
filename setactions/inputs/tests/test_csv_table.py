"""What the reader of batch files understands."""

import io
import subprocess
import sys

import pytest

from setactions.inputs.csv_table import TableError, read_table

A, B, C = "0" * 32, "1" * 32, "ab" * 16
TWO_CLUSTERS = {"evian3": "http://127.0.0.1:1", "brooke": "http://127.0.0.1:2"}


@pytest.fixture(autouse=True)
def clusters(settings):
    settings.TMS_CLUSTERS = TWO_CLUSTERS


def read(content, **options):
    content = content.encode() if isinstance(content, str) else content
    return read_table(
        io.BufferedReader(io.BytesIO(content)), **({"cluster": "evian3", "action": "PE-Enable"} | options)
    )


def ids_of(content, **options):
    with read(content, **options) as table:
        return [cid for _, cids in table.chunks(2) for cid in cids]


def errors_of(content, **options):
    with pytest.raises(TableError) as raised:
        read(content, **options)
    return raised.value


@pytest.mark.parametrize(
    "content",
    [
        f"customer_id\n{A}\n{B}\n{C}\n",
        f"\ufeffCustomer_ID\r\n{A}\r\n{B}\r\n{C}",
        f"cust_id\r{A}\r{B}\r{C}\r",
        f"cid\n\n{A}\n  \n{B}\n,\n{C}\n\n",
        f"id;name\n{A};x\n{B};y\n{C};z\n",
        f'"name"\t"id"\n"x"\t"{A}"\n"y, ""or"" y"\t"{B}"\n"z\nz"\t"{C}"\n',
        f"name,id,,\nx,{A}\ny, {B} \nz,{C},,\n",
        f"{A}\n{B}\n{C}",
        f'"{A}"\n"{B}"\n"{C}"\n',
        f"{A},{B},{C}",
        f"{A};{B};{C};\n",
    ],
)
def test_all_the_usual_ways_to_write_a_list_give_the_same_customers(content):
    assert ids_of(content) == [A, B, C]


def test_our_own_csv_is_read_back():
    assert ids_of("customer_id\n'=1\n'@x\n", allow_unusual=True) == ["=1", "@x"]


def test_words_are_ids_where_nothing_tells_otherwise():
    assert ids_of("alpha\nbeta\n") == ["alpha", "beta"]


def test_repeats_are_left_out_and_named():
    with read(f"{A}\n{B}\n{A}\n{A}\n") as table:
        assert (table.customer_count, table.repeated) == (2, 2)
        assert list(table.chunks(5))[0][1] == (A, B)
        assert table.warnings[0] == "Lines 3 and 4: The same id as in line 1; it is left out."


def test_repeats_in_one_line_are_left_out_too():
    with read(f"{A},{B},{A}") as table:
        assert (table.customer_count, table.repeated) == (2, 1)


def test_columns_cut_the_list_and_win_over_the_options():
    content = (
        f"id,action,cluster\n{A},PE-Enable,brooke\n{B},,\n{C},t-enable,evian3\n{A},PE-Enable,evian3\n{B},,brooke\n"
    )
    with read(content) as table:
        parts = [(part.cluster.name, part.action.label, part.customer_count) for part in table.parts]
        assert parts == [("brooke", "PE-Enable", 2), ("evian3", "PE-Enable", 2), ("evian3", "T-Enable", 1)]
        assert [cids for _, cids in table.chunks(500)] == [(A, B), (B, A), (C,)]
        assert [len(cids) for _, cids in table.chunks(1)] == [1] * 5


def test_what_looks_unusual_is_named_with_its_line():
    with read(f"{A}\n1.2E+15\n=1\nxyz\n{C}\n{C.upper()}\n", allow_unusual=True) as table:
        assert table.warnings == (
            "Line 2: The id looks damaged (a number as spreadsheets write it, such as 1.23E+11): 1.2E+15.",
            "Line 3: The id looks damaged (a spreadsheet formula): =1.",
            "Line 4: The id looks unusual for a customer id: xyz.",
            "Line 6: The id differs only by upper and lower case from the one in line 5.",
        )


def test_what_looks_unusual_is_an_error_when_strict():
    error = errors_of(f"{A}\n1.2E+15\n=1\nxyz\n{A}\n", strict=True)
    assert [sentence.split(":")[0] for sentence in error.errors] == ["Line 2", "Line 3", "Line 4"]
    assert ids_of(f"{A}\n{B}\n{A}\n", strict=True) == [A, B]


def test_the_word_for_damaged_ids_goes_when_none_of_them_is_left():
    with read(f"{A}\n#N/A\nNULL\n1000003\n", allow_unusual=True) as table:
        target = table.parts[0].cluster.origin, table.parts[0].action.value
        for cids, is_left in (["#N/A", A], True), (["NULL"], False):
            table.leave_out(*target, cids)
            assert table.allow_unusual == is_left
        assert table.customer_count == 1


def test_warnings_of_one_cause_are_one_sentence_with_the_first_lines_and_ids():
    with read("".join(f"odd-{number}\n" for number in range(50))) as table:
        [warning] = table.warnings
        assert warning.startswith(
            "Lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 40 more: The id looks unusual for a customer id"
        )
        assert warning.endswith(": odd-0, odd-1, odd-2, odd-3, odd-4, odd-5, odd-6, odd-7, odd-8, odd-9 or others.")


def test_errors_of_one_cause_are_one_sentence_and_all_wrong_lines_are_counted():
    error = errors_of("id\n" + "a b\n" * 5000 + f"{A}\n" + ("\u202ex\n" + "y" * 129 + "\n") * 2)
    assert error.error_count == 5004
    space, length = error.errors
    assert space.startswith(
        "Lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4,992 more: The customer id holds space (U+0020) or right-to-left"
    )
    assert length.startswith("Lines 5,004 and 5,006: ")


def test_errors_that_are_found_last_stand_at_their_line():
    error = errors_of(f"id,action\n{A},PE-Enable\n{A},T-Enable\nx y,PE-Enable\n")
    assert [sentence.split(":")[0] for sentence in error.errors] == ["Line 3", "Line 4"]
    assert "as in line 2, with another action" in error.errors[0]


def test_one_customer_of_two_clusters_may_get_two_actions():
    assert len(ids_of(f"id,action,cluster\n{A},PE-Enable,brooke\n{A},T-Enable,evian3\n")) == 2


def test_a_pipe_is_read_to_its_end():
    writer = subprocess.Popen(["/bin/sh", "-c", f"printf 'id\\n{A}\\n'; printf '{B}\\n'"], stdout=subprocess.PIPE)
    with writer, read_table(writer.stdout, cluster="evian3", action="PE-Enable") as table:
        assert table.customer_count == 2


LIMITED = """
import os, resource, sys
os.environ["TMS_CLUSTERS"] = "evian3=http://127.0.0.1:1"
os.environ["DJANGO_SETTINGS_MODULE"] = "tmsdash.settings"
import django
django.setup()
from setactions.inputs.csv_table import TableError, read_table
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    table = read_table(sys.stdin.buffer, cluster="evian3", action="PE-Enable")
    print(table.customer_count, sum(len(cids) for _, cids in table.chunks(500)))
except TableError as error:
    print(error.error_count, error.errors[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"".join(b"%032x_%095d\n" % (number, number) for number in range(300_000)), "300000 300000"),
        (b"id\n" + b"x y\n" * 300_000, "300000 Lines 2"),
        (b"%032d\n" % 7 + b"%032d\n" % 8 * 300_000, "2 2"),
        (b"id\n" + b"7" * 50_000_000, "1 Line 2"),
        (b'id\n"' + b"77\n" * 20_000_000, "1 Line 2"),
    ],
    ids=["long ids", "all wrong", "repeats", "endless line", "endless quotation"],
)
def test_memory_stays_bounded_however_long_the_file(content, said, tmp_path):
    file = tmp_path / "fleet.csv"
    file.write_bytes(content)
    with file.open("rb") as source:
        run = subprocess.run(
            [sys.executable, "-c", LIMITED],
            stdin=source,
            capture_output=True,
            text=True,
            check=True,
            env=_environment(tmp_path),
        )
    first, growth = run.stdout.splitlines()
    assert first.startswith(said)
    assert int(growth) < 90_000  # KiB; kept in memory, the ids alone would take more


def _environment(folder):
    return {"VAR_DIR": str(folder / "var"), "PATH": "/usr/bin:/bin", "ENV_FILE": ""}
