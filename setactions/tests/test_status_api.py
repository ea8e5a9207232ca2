"""`GET /api/status/<cluster>` and `manage.py live_status`: what was read last, and when."""

import csv
import io
import json
import os
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.live import states
from jobs.models import LiveReading
from setactions.resolving.tests.doubting import reads, tms_does
from setactions.tms.clusters import cluster_named
from tmsdash.tests.fixtures import TOKEN, signed_in

pytestmark = [pytest.mark.pages, pytest.mark.usefixtures("databases")]
ADDRESS = "/api/status/evian3"


@pytest.fixture
def whole(tms):
    """Of five customers two at PE-Enable and three at T-Enable, read an hour ago."""
    at = timezone.now() - timedelta(hours=1)
    shown = LiveReading(cluster_url=cluster_named("evian3").origin, asked="ALL", user_id="oscar", customer_count=5)
    shown.began_at = shown.ended_at = at
    states.keep_whole(shown, {f"c{number}": 2 + (number > 2) for number in range(1, 6)})
    return shown


@pytest.fixture
def client(olivia):
    return signed_in(olivia)


def live_status(*arguments, token=None):
    """Run the command in this process; returns its exit code and what it printed."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if token is not None:
            patch.setenv("TMS_TOKEN", token)
        try:
            call_command("live_status", *arguments, stdout=output)
        except CommandError as error:
            return error.returncode, f"{error}"
        finally:
            os.environ.pop("TMS_TOKEN", None)
    return 0, output.getvalue()


def test_a_script_gets_counts_and_customers_with_age_and_source(client, whole, tms):
    answer = client.get(ADDRESS).json()
    facts = {"read_at": whole.began_at.isoformat(), "source": "tms", "user_id": "oscar"}
    customers = answer.pop("customers")
    assert answer == {
        "success": True,
        "cluster": "evian3",
        "cluster_url": tms.url,
        "reading": facts | {"customer_count": 5},
        "failed": None,
        "customer_count": 5,
        "counts": {"PE-Enable": 2, "T-Enable": 3},
        "next_after": None,
    }
    assert len(customers) == 5
    assert customers[0] == {"customer_id": "c1", "action_name": "PE-Enable", "action_code": 2} | facts
    assert reads(tms) == []


def test_a_script_goes_through_the_customers_part_by_part(client, whole):
    after, ids = "", []
    while after is not None:
        part = client.get(ADDRESS, {"limit": 2, "after": after}).json()
        ids.append([customer["customer_id"] for customer in part["customers"]])
        after = part["next_after"]
    assert ids == [["c1", "c2"], ["c3", "c4"], ["c5"]]
    of_state = client.get(ADDRESS, {"state": "3", "limit": 3}).json()
    assert [customer["customer_id"] for customer in of_state["customers"]] == ["c3", "c4", "c5"]
    assert of_state["next_after"] is None
    assert client.get(ADDRESS, {"state": "99999"}).json()["customers"] == []


@pytest.mark.parametrize(
    ("address", "status", "field"),
    [
        ("/api/status/elsewhere", 404, "cluster"),
        (f"{ADDRESS}?limit=0", 400, "limit"),
        (f"{ADDRESS}?limit=5001", 400, "limit"),
        (f"{ADDRESS}?state=maybe", 400, "state"),
    ],
)
def test_what_makes_no_sense_is_refused_in_json(client, whole, address, status, field):
    answer = client.get(address)
    assert (answer.status_code, list(answer.json()["errors"])) == (status, [field])


def test_of_a_cluster_that_was_never_read_nothing_is_known(client, tms):
    answer = client.get(ADDRESS).json()
    assert (answer["reading"], answer["counts"], answer["customers"]) == (None, {}, [])


def test_who_may_not_look_customers_up_gets_no_states(olivia, client, whole):
    olivia.groups.clear()
    assert client.get(ADDRESS).status_code == 403


def test_the_command_reads_with_a_token_and_prints_counts_with_their_age(tms):
    tms_does(tms, "PE-Enable", "a1", "b2")
    code, output = live_status("--cluster", "evian3", token=TOKEN)
    assert code == 0
    assert re.search(r"^evian3: 2 customers, [\d-]+ [\d:]+ UTC, read from TMS for \S+@\S+\n  PE-Enable +2\n$", output)
    assert reads(tms) == [("ALL",)]


def test_without_a_token_the_command_prints_what_was_read_last(whole, tms):
    code, output = live_status("--cluster", "evian3", "--json")
    assert code == 0
    assert json.loads(output)["reading"]["read_at"] == whole.began_at.isoformat()
    assert json.loads(output)["counts"] == {"PE-Enable": 2, "T-Enable": 3}
    assert reads(tms) == []


def test_the_command_writes_every_customer_to_a_file(whole, tmp_path):
    code, _ = live_status("--cluster", "evian3", "--csv", str(tmp_path / "states.csv"))
    assert code == 0
    with (tmp_path / "states.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[:3] for row in rows[:2]] == [["customer_id", "state", "action_code"], ["c1", "PE-Enable", "2"]]
    assert len(rows) == 6
    assert live_status("--cluster", "evian3", "--csv", str(tmp_path / "none" / "states.csv"))[0] == 1


@pytest.mark.parametrize("token", [None, "fault:http:500", "fault:unauthorized"])
def test_a_cluster_that_cannot_be_read_ends_with_three(tms, token):
    code, message = live_status("--cluster", "evian3", token=token)
    assert code == 3
    assert re.search("could not be read|has not been read yet", message)


def test_a_failure_is_printed_beside_what_is_older(whole, tms):
    assert live_status("--cluster", "evian3", token="fault:http:500")[0] == 3
    assert "The newest reading failed: evian3 could not be read" in live_status("--cluster", "evian3")[1]


def test_a_cluster_that_is_not_configured_is_bad_input(tms):
    code, message = live_status("--cluster", "elsewhere")
    assert code == 1
    assert "Choose from: evian3, brooke." in message
