"""One reader: a list means the same pasted, uploaded, as a file or on standard input of the command, and in JSON."""

import io
import json
import re
from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from audit.models import Attempt
from jobs.models import Batch, Job
from setactions.batches.tests.commanding import command
from setactions.inputs.ids import BY_KEY, BY_OPTION, BY_TICK
from setactions.inputs.tests.corpus import BAD, BAD_BYTES, GOOD
from setactions.inputs.tests.shapes import DAMAGED_IDS, MERELY_UNUSUAL
from setactions.pages.tests.test_new_action import review_on
from tmsdash.csv_text import ids_text
from tmsdash.tests.fixtures import TOKEN, signed_in

pytestmark = pytest.mark.pages
ALL_BAD = {name: (text.encode(), errors) for name, (text, errors) in BAD.items()} | BAD_BYTES


@pytest.fixture
def page(tms, olivia):
    """What the review page would send of a list, or what the form says is wrong with it."""
    client = signed_in(olivia)

    def read(*, text="", content=None, action="PE-Enable", allow_unusual=False):
        data = {"cluster": "evian3", "action": action, "token": TOKEN, "cids": text}
        data |= {"allow_unusual": "on"} if allow_unusual else {}
        if content is not None:
            data["csv_file"] = SimpleUploadedFile("list.csv", content)
        answer = client.post("/review/", data, follow=True)
        if answer.status_code == 200:
            return review_on(answer).submission.cids
        errors = answer.context["form"].errors
        assert list(errors) == ["cids"] if content is None else len(errors) == 1  # a file comes back as text if it can
        return list(*errors.values())

    return read


@pytest.fixture
def run(tms, olivia, tmp_path, monkeypatch, settings):
    """What the command sends of a list, or what it says is wrong with it."""
    settings.TMS_DUPLICATE_WINDOW_S = 0

    def read(content, *options, name="list.csv"):
        tms.reset()
        monkeypatch.setenv("TMS_TOKEN", TOKEN)
        if name == "-":
            monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content))))
            file = name
        else:
            file = tmp_path / name
            file.write_bytes(content)
        ended = command(file, "--json", *options)
        if ended.code:
            assert tms.calls() == []
            return ended.json["errors"]
        return (
            ended.json["customers"] if "--dry-run" in options else tuple(c for call in tms.calls() for c in call.cids)
        )

    return read


def without_way(errors):
    """Errors without how to go on, which each way of a list into the product has its own words for."""
    return [error.partition("; if it really is an id, ")[0] for error in errors]


def assert_as_expected(results, bad):
    """Each list gave its ids, or the errors that begin as expected, and none besides."""
    for name, result in results.items():
        if name in GOOD:
            assert result == GOOD[name][1], name
        else:
            expected = bad[name][1]
            assert [error[: len(start)] for error, start in zip(result, expected, strict=True)] == expected, name


def test_an_uploaded_list_and_a_file_of_the_command_give_the_same_ids_or_errors(page, run):
    uploads = {name: page(content=text.encode()) for name, (text, _) in GOOD.items()}
    uploads |= {name: page(content=content) for name, (content, _) in ALL_BAD.items()}
    assert_as_expected(uploads, ALL_BAD)
    for name, result in uploads.items():
        ended = run((GOOD[name][0].encode() if name in GOOD else ALL_BAD[name][0]), "--dry-run")
        assert ended == len(result) if name in GOOD else without_way(ended) == without_way(result), name


def test_a_pasted_list_gives_the_same(page):
    assert_as_expected({name: page(text=text) for name, (text, _) in (GOOD | BAD).items()}, BAD)


def test_the_command_sends_the_same_ids_and_nothing_of_a_list_with_errors(run):
    good = list(GOOD.items())[::8]
    for name, (text, cids) in good:
        assert run(text.encode(), "--yes") == cids, name
    assert_as_expected({name: run(content, "--yes") for name, (content, _) in ALL_BAD.items()}, ALL_BAD)
    assert Batch.objects.count() == len(good)


def test_standard_input_of_the_command_gives_the_same(run):
    for name, (text, cids) in GOOD.items():
        assert run(text.encode(), "--dry-run", name="-") == len(cids), name
    assert_as_expected({name: run(content, "--dry-run", name="-") for name, (content, _) in ALL_BAD.items()}, ALL_BAD)


def test_json_takes_the_same_ids_and_says_the_same_of_others(fetch, tms, page):
    cids = list(dict.fromkeys(cid for _, ids in GOOD.values() for cid in ids))
    assert fetch(cids=cids).status_code == 200
    assert tms.calls()[-1].cids == tuple(cids)
    wrong = [
        "12 34",
        "12\u00a034",
        "x\u200b",
        "\u202ex",
        "\x1b[31m",
        "7" * 129,
        "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0",
        "x",
        "a;b",
    ]
    answer = fetch(cids=wrong)
    assert answer.status_code == 400
    items = json.loads(answer.content)["errors"]["cids"]
    assert items[0].startswith(
        "Items 1, 2, 3, 4, 5 and 9: The customer id holds space (U+0020), no-break space (U+00A0"
    )
    assert len(items) == 3
    lines = page(text="id,x\n" + "".join(f'"{cid}",\n' for cid in wrong))
    assert lines[0].startswith("Lines 2, 3, 4, 5, 6 and 10: ")
    assert [error.partition(": ")[2] for error in lines] == [error.partition(": ")[2] for error in items]


# -- Ids that look damaged ---------------------------------------------------------------------------------------------

DAMAGED = [cid for cids in DAMAGED_IDS.values() for cid in cids]
GIVEN = [*MERELY_UNUSUAL, *DAMAGED]


def places(errors, offset=0):
    """The sentence of each error with its first places, less `offset`."""
    split = [error.partition(": ") for error in without_way(errors)]
    return {
        sentence: [int(place) - offset for place in re.findall(r"\d+\b(?! more)", where)]
        for where, _, sentence in split
    }


def test_damaged_ids_are_refused_on_every_way_with_the_same_words(page, run, fetch, tms):
    content = ids_text(GIVEN).encode()
    refused = {
        BY_TICK: [page(text=content.decode()), page(content=content)],
        BY_OPTION: [run(content, "--yes"), run(content, "--dry-run", name="-")],
        BY_KEY: [fetch(cids=GIVEN).json()["errors"]["cids"]],
    }
    expected = places(refused[BY_KEY][0])
    assert [sentence.partition(" (")[0] for sentence in expected] == ["The id looks damaged"] * len(DAMAGED_IDS)
    for way, answers in refused.items():
        for errors in answers:
            assert places(errors, offset=0 if way == BY_KEY else 1) == expected
            assert all(error.endswith(f"if it really is an id, {way}.") for error in errors)
    assert (tms.calls(), Attempt.objects.exclude(outcome="refused").count()) == ([], 0)


def test_damaged_ids_are_taken_on_every_way_on_somebodys_word(page, run, fetch, tms):
    content = ids_text(GIVEN).encode()
    assert page(text=content.decode(), allow_unusual=True) == tuple(GIVEN)
    assert page(content=content, allow_unusual=True) == tuple(GIVEN)
    assert run(content, "--allow-unusual", "--dry-run", name="-") == len(GIVEN)
    assert run(content, "--allow-unusual", "--yes") == tuple(GIVEN)
    tms.reset()
    assert fetch(cids=GIVEN, allowUnusual=True).status_code == 200
    assert tms.calls()[-1].cids == tuple(GIVEN)


# -- What the product itself writes -----------------------------------------------------------------------------------

OURS = (
    "0012345",
    "'0012345",
    "1234567",
    "0" * 32,
    "1e5",
    "=1",
    "'=1",
    "''x",
    "'x",
    '"q"',
    "it's",
    "id",
    "sep=",
    "mar1",
    "客户",
)
PARTS = [{"cluster": "evian3", "action": "T-Enable", "customers": len(OURS)}]


@pytest.fixture
def written(tms, olivia, audrey, tmp_path, monkeypatch):
    """Every file that the product writes of a list; and the export and the report name its cluster and action."""
    monkeypatch.setenv("TMS_TOKEN", TOKEN)
    report = tmp_path / "report.csv"
    file = tmp_path / "ours.csv"
    file.write_text(ids_text(OURS), encoding="utf-8", newline="")
    ended = command(file, "--yes", "--json", "--allow-unusual", "--report", report, action="T-Enable")
    assert ended.code == 0
    [job], [attempt], [batch] = Job.objects.all(), Attempt.objects.all(), Batch.objects.all()
    operator, auditor = signed_in(olivia), signed_in(audrey)
    ids_files = [f"/jobs/{job.job_id}/customers.csv", f"/attempts/{attempt.attempt_id}/all.csv"]
    with_columns = {
        "report of the command": report.read_bytes(),
        "report of the page": b"".join(operator.get(f"/batches/{batch.batch_id}/report.csv")),
        "export": b"".join(auditor.get("/admin/audit/attempt/export.csv")),
    }
    return {path: operator.get(path).content for path in ids_files}, with_columns


def test_what_we_write_is_read_back_to_the_same_ids_cluster_and_action(written, page, tmp_path):
    ids_files, with_columns = written
    for name, content in (ids_files | with_columns).items():
        assert b"\n0012345" not in content.replace(b",", b"\n"), name  # a spreadsheet would drop its zeros
        file = tmp_path / "again.csv"
        file.write_bytes(content)
        given = {"cluster": None, "action": None} if name in with_columns else {"action": "T-Enable"}
        ended = command(file, "--dry-run", "--json", "--allow-unusual", **given)
        assert (ended.code, ended.json["parts"]) == (0, PARTS), name
        assert page(content=content, action="T-Enable", allow_unusual=True) == OURS, name
        assert page(text=content.decode(), action="T-Enable", allow_unusual=True) == OURS, name
    for name, content in with_columns.items():
        assert "names another action" in page(content=content)[0], name
