"""A list that was pasted is still on the page when it could not be written."""

import pytest
from django.db import OperationalError

from jobs.models import AppRun
from setactions.app_status import service
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import text_of

pytestmark = pytest.mark.usefixtures("databases")
CIDS = "a1\nb2"


@pytest.fixture
def unwritable(monkeypatch):
    def fail(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr("setactions.pages.status.keep_list", fail)
    monkeypatch.setattr(service.ledger, "create", fail)


def test_a_list_to_look_at_is_shown_again(olivia, tms, unwritable):
    answer = signed_in(olivia).post("/status/evian3/list/", {"cids": CIDS})
    assert answer.status_code == 503
    assert "The jobs database cannot be written, so the list is not kept." in text_of(answer)
    assert f"{CIDS}</textarea>" in answer.content.decode()


def test_a_list_for_a_run_is_shown_again_without_the_token(olivia, tms, unwritable):
    answer = signed_in(olivia).post("/apps/start/", {"cluster": "evian3", "cids": CIDS, "token": TOKEN})
    assert answer.status_code == 503
    assert "so nothing is read. Enter your token again in a minute." in text_of(answer)
    assert f"{CIDS}</textarea>" in answer.content.decode()
    assert TOKEN not in answer.content.decode()
    assert not AppRun.objects.exists()
