"""`reconcile --full` with a token: what TMS shows and nothing here asked for."""

import io
import json
import os
import re

import pytest
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from audit.choices import Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from jobs.models import Job
from setactions.devtools.simulator import Simulator
from setactions.operations.backups.creation import back_up
from setactions.operations.backups.restoration import restore, verified
from setactions.resolving.tests.doubting import LOST_AFTER, reads, send, tms_does
from setactions.resolving.unexplained import find_unexplained
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("databases", "tms", "nobody_connected", "impatient"), pytest.mark.pages]
NOTHING = {"closed": 0, "recorded": 0, "open": 0, "need_token": [], "need_person": []}


@pytest.fixture(autouse=True)
def one_cluster(tms, settings):
    settings.TMS_CLUSTERS = {"evian3": tms.url}


def run(*arguments, token=TOKEN):
    """Run `reconcile` in this process; returns its exit code and what it printed."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMS_TOKEN", token)
        try:
            call_command("reconcile", *arguments, stdout=printed)
        except SystemExit as ended:
            return ended.code, printed.getvalue()
        finally:
            os.environ.pop("TMS_TOKEN", None)
    return 0, printed.getvalue()


def unexplained():
    """What a full run names, as (id, code)."""
    return [(state.cid, state.action_code) for state in find_unexplained(Token(TOKEN)).states]


def test_after_a_restore_it_names_what_tms_accepted_since_the_backup(fetch, tms, tmp_path):
    send(fetch, "a1", "b2")
    backup = back_up(tmp_path)
    send(fetch, "b2", "c3", action="T-Enable")
    send(fetch, "d4")
    restore(verified(backup.folder), pytest.fail)
    code, printed = run("--full", "--json")
    assert code == 2
    assert json.loads(printed) == NOTHING | {
        "unexplained": [
            {"cluster_url": tms.url, "cid": "d4", "action_code": 2},
            {"cluster_url": tms.url, "cid": "b2", "action_code": 3},
            {"cluster_url": tms.url, "cid": "c3", "action_code": 3},
        ]
    }
    code, printed = run("--full")
    assert code == 2
    assert "TMS shows PE-Enable for 1 customer on evian3, and nothing here asked for it: d4\n" in printed
    assert "TMS shows T-Enable for 2 customers on evian3, and nothing here asked for it: b2, c3\n" in printed
    assert "Nothing was changed." in printed


def test_nothing_is_changed_by_it(fetch, tms):
    send(fetch)
    tms_does(tms, "PE-Direct", "x")
    rows = [list(model.objects.values()) for model in (Attempt, AuditEntry, Job)]
    assert run("--full")[0] == 2
    assert [list(model.objects.values()) for model in (Attempt, AuditEntry, Job)] == rows


def test_what_was_asked_for_here_is_explained(fetch):
    send(fetch, "a1", "b2")
    assert run("--full", "--json") == (0, json.dumps(NOTHING | {"unexplained": []}) + "\n")
    assert "Everything that TMS shows was asked for here." in run("--full")[1]


@pytest.mark.parametrize(
    ("kinds", "explained"),
    [
        ([], True),  # open still
        ([Kind.UNKNOWN], True),
        ([Kind.ACCEPTED], True),
        ([Kind.ACCEPTED, Kind.RECORDED], True),
        ([Kind.UNKNOWN, Kind.APPLIED, Kind.RECORDED], True),
        ([Kind.UNKNOWN, Kind.DECIDED], True),
        ([Kind.REJECTED], False),
        ([Kind.NOT_SENT], False),
        ([Kind.UNKNOWN, Kind.NOT_APPLIED], False),
    ],
    ids=str,
)
def test_only_attempts_that_were_or_may_be_accepted_explain_an_action(tms, kinds, explained):
    make_attempt(*kinds, cids=["a"], cluster_url=tms.url)
    tms_does(tms, "PE-Enable", "a")
    assert unexplained() == ([] if explained else [("a", 2)])


def test_another_cluster_another_action_and_another_spelling_explain_nothing(tms):
    for values in ({"cids": ["a"], "cluster_url": "https://other"}, {"cids": ["b"]}, {"cids": ["C"]}):
        make_attempt(Kind.ACCEPTED, **({"cluster_url": tms.url} | values))
    tms_does(tms, "PE-Enable", "a", "c")
    tms_does(tms, "T-Enable", "b")
    assert unexplained() == [("a", 2), ("c", 2), ("b", 3)]


def test_a_lost_answer_is_read_back_first_and_then_explained(fetch):
    send(fetch, token=LOST_AFTER)
    code, printed = run("--full", "--json")
    assert (code, json.loads(printed)) == (0, NOTHING | {"closed": 1, "recorded": 1, "unexplained": []})


def test_of_many_customers_the_first_are_named_in_words_and_all_in_json(tms):
    cids = [f"c{number:03}" for number in range(50)]
    tms_does(tms, "PE-Enable", *cids)
    code, printed = run("--full")
    assert code == 2
    assert "for 50 customers on evian3" in printed
    assert f"{', '.join(cids[:20])}, and 30 more (--json names all)\n" in printed
    assert "c020" not in printed
    assert len(json.loads(run("--full", "--json")[1])["unexplained"]) == 50


def test_a_cluster_that_cannot_be_read_is_noted_and_the_others_are_read(tms, settings, caplog):
    settings.TMS_CLUSTERS = {"brooke": "http://127.0.0.1:2", "evian3": tms.url}
    assert run("--full", "--json") == (1, json.dumps(NOTHING | {"unexplained": []}) + "\n")
    assert "[RECONCILE] WARNING: brooke could not be read: " in caplog.text
    tms_does(tms, "PE-Enable", "x")
    code, printed = run("--full")
    assert code == 2
    assert "brooke could not be read: " in printed
    assert "evian3, and nothing here asked for it: x\n" in printed


def test_every_cluster_is_read_and_told_apart(fetch, tms, settings):
    with Simulator() as other:
        settings.TMS_CLUSTERS = {"evian3": tms.url, "brooke": other.url}
        send(fetch, "a")
        tms_does(other, "T-Enable", "a")
        code, printed = run("--full", "--json")
        assert (code, json.loads(printed)["unexplained"]) == (
            2,
            [{"cluster_url": other.url, "cid": "a", "action_code": 3}],
        )


def test_without_a_token_it_says_that_tms_was_not_asked(fetch, tms):
    tms_does(tms, "PE-Enable", "x")
    code, printed = run("--full", token="")
    assert code == 0
    assert re.search(r"TMS was not asked .* give a token: --ask-token, --token-file FILE or TMS_TOKEN\.\n$", printed)
    assert json.loads(run("--full", "--json", token="")[1]) == NOTHING
    assert reads(tms) == []


def test_without_full_no_cluster_is_read_for_it(tms):
    tms_does(tms, "PE-Enable", "x")
    assert run("--json") == (0, json.dumps(NOTHING) + "\n")
    assert reads(tms) == []


def test_entries_that_cannot_be_read_are_noted(fetch, monkeypatch):
    monkeypatch.setattr("setactions.reads.codes_in", lambda data, cluster: {"a": -1, "b": 0, "c": 9})
    code, printed = run("--full")
    assert code == 2
    assert "TMS shows action code 9 for 1 customer on evian3" in printed
    assert "evian3 shows something that cannot be read for 1 customer." in printed


def test_ids_with_control_characters_are_escaped(tms):
    tms_does(tms, "PE-Enable", "a\x1b[31m")
    assert "a\\x1b[31m" in run("--full")[1]


def test_the_number_of_queries_grows_with_the_customers_only_by_hundreds(tms):
    cids = [f"c{number}" for number in range(1200)]
    for part in (cids[:600], cids[600:]):
        make_attempt(Kind.ACCEPTED, cids=part, cluster_url=tms.url)
    tms_does(tms, "PE-Enable", *cids)
    with CaptureQueriesContext(connections["audit"]) as queries:
        assert unexplained() == []
    assert len(queries) == 6  # for each five hundred, how far the index goes and who is in it
