"""What `manage.py set_action_batch` refuses, asks for and says before it sends anything."""

import pytest
from django.contrib.auth import get_user_model

from jobs.models import Batch
from setactions.batches.tests.commanding import CIDS, GO, command, go_on
from tmsdash.tests.fixtures import TOKEN

pytestmark = [pytest.mark.usefixtures("ready"), pytest.mark.pages]


def refused(ended, tms, words):
    assert ended.code == 1
    assert words in ended.err
    assert "othing was sent" in ended.err
    assert tms.calls() == []
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--yes", "--chunk=0"], "--chunk must be from 1 to"),
        (["--yes", "--chunk=6000"], "--chunk must be from 1 to"),
        (["--yes", "--workers=0"], "--workers must be from 1 to"),
        ([], "Give --yes"),
        (["--yes", "--confirm=9"], "9 is not the number of customers, which is 10"),
        (["--yes", "--token-file=/nonexistent"], "The token file cannot be read"),
        (["--yes", "--report=/nonexistent/out.csv"], "/nonexistent/out.csv cannot be written: No such file"),
    ],
)
def test_wrong_options_send_nothing(options, words, fleet, tms):
    ended = command(fleet(), *options)
    assert (ended.code, tms.calls(), Batch.objects.exists()) == (1, [], False)
    assert words in ended.err


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"cluster": "evian4"}, "This cluster is not known. Choose from"),
        ({"action": "Explode"}, "This action is not known. Choose from: Trans-Begin"),
        ({"cluster": None}, "There is no cluster. Give --cluster"),
        ({"action": None}, "There is no action. Give --action"),
        ({"user": "nobody"}, "There is no active user nobody"),
    ],
)
def test_wrong_names_send_nothing(names, words, fleet, tms):
    refused(command(fleet(), "--yes", **names), tms, words)


def test_neither_auditors_nor_inactive_users_are_served(fleet, tms, audrey, olivia):
    refused(command(fleet(), "--yes", user="audrey"), tms, "may not trigger Set Actions")
    get_user_model().objects.filter(username="olivia").update(is_active=False)
    refused(command(fleet(), "--yes"), tms, "There is no active user olivia")


def test_without_a_token_nothing_is_sent(fleet, tms, monkeypatch):
    monkeypatch.delenv("TMS_TOKEN")
    refused(command(fleet(), "--yes"), tms, "A token is needed")


def test_the_token_among_the_ids_is_found_before_anything_is_sent(fleet, tms):
    refused(command(fleet([*CIDS, TOKEN]), "--yes"), tms, "The bearer token is among the customer ids")


def test_a_missing_file_is_said_to_be_missing(tmp_path, tms):
    refused(command(tmp_path / "none.csv", "--yes"), tms, "The file cannot be read: No such file")
    refused(command(tmp_path, "--yes"), tms, "The file cannot be read: Is a directory")


def test_a_server_in_passive_mode_sends_nothing(fleet, tms, settings):
    settings.TMS_PASSIVE = True
    ended = command(fleet(), "--yes")
    assert (ended.code, tms.calls()) == (1, [])
    assert "passive mode" in ended.err


@pytest.mark.parametrize("changes", [{"TMS_PRODUCTION_CLUSTERS": ["evian3"]}, {"TMS_CONFIRM_ABOVE": 10}])
def test_the_number_of_customers_is_asked_for(changes, fleet, tms, settings, monkeypatch):
    for name, value in changes.items():
        setattr(settings, name, value)
    refused(command(fleet(), "--yes"), tms, "Give --confirm 10")
    assert command(fleet(), *GO, "--confirm=10").code == 0


def test_errors_are_json_where_that_is_asked_for(fleet):
    ended = command(fleet(["a b", "c d"]), *GO)
    output = ended.json
    assert (ended.code, output["status"], output["error_count"], output["exit_code"]) == (1, "error", 2, 1)
    assert output["errors"][0].startswith("Lines 2 and 3: ")
    assert command(fleet(), *GO, user="nobody").json["error_count"] == 1


def test_a_dry_run_says_the_plan_and_sends_nothing(fleet, tms, settings):
    settings.TMS_PRODUCTION_CLUSTERS = ["evian3"]
    ended = command(fleet([*CIDS, CIDS[0]]), "--dry-run")
    assert (ended.code, tms.calls(), Batch.objects.exists()) == (0, [], False)
    assert "PE-Enable on evian3 (PRODUCTION): 10 customers in 5 calls of at most 2." in ended.out
    assert "1 repeat left out" in ended.out
    assert command(fleet(), "--dry-run", "--json").json["parts"] == [
        {"cluster": "evian3", "action": "PE-Enable", "customers": 10}
    ]


def test_a_batch_goes_on_only_with_its_own_list_and_user(fleet, tms, oscar, monkeypatch):
    ended = command(fleet(), *GO)
    sent = len(tms.calls())
    other = go_on(fleet(CIDS[:9]), ended, monkeypatch)
    assert (other.code, other.json["errors"][0][:44]) == (1, "The batch with this id was given another lis")
    foreign = command(fleet(), *GO, "--batch-id", ended.json["batch_id"], user="oscar")
    assert (foreign.code, "belongs to olivia" in foreign.json["errors"][0]) == (1, True)
    assert len(tms.calls()) == sent
