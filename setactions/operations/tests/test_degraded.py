"""/health tells whoever presents METRICS_TOKEN what is wrong with a site that works, and nobody else."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from audit.choices import Kind
from audit.models import Attempt
from audit.tests.making import make_attempt
from setactions.operations import degraded
from tmsdash.models import TimerRun
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]
TOKEN = "scrape-0123456789abcdef"
HEALTHY = {"status": "healthy", "service": "TMS Dashboard"}


@pytest.fixture(autouse=True)
def metrics_token(settings):
    settings.METRICS_TOKEN = TOKEN


def health(token=TOKEN, client=None):
    answer = (client or Client()).get("/health", headers={"Authorization": f"Bearer {token}"} if token else {})
    assert answer.status_code == 200
    return answer.json()


def test_a_site_of_which_nothing_is_wrong_is_healthy_with_the_token_too():
    make_attempt(Kind.UNKNOWN)  # somebody may be looking at it
    assert health() == HEALTHY


def test_a_late_timer_is_told_with_the_token_alone(adam):
    at = timezone.now() - timedelta(days=3)
    TimerRun.objects.create(name="backup", ended_at=at, succeeded=True, succeeded_at=at)
    body = health()
    [reason] = body.pop("reasons")
    assert body == HEALTHY | {"status": "degraded"}
    assert reason.startswith("backup has not succeeded since 20")
    assert health("") == health("wrong") == health(f"{TOKEN}x") == HEALTHY
    assert "reasons" not in health("", client=signed_in(adam))


def test_attempts_that_were_open_for_long_are_counted():
    for _ in range(2):
        make_attempt(Kind.UNKNOWN)
    assert health() == HEALTHY
    Attempt.objects.update(created_at=timezone.now() - timedelta(minutes=16))
    assert health()["reasons"][0].startswith("2 attempts open or in doubt for more than 15 minutes.")


@pytest.mark.sqlite
def test_a_disk_that_is_nearly_full_is_told_once(monkeypatch):
    monkeypatch.setattr(degraded, "NEARLY_FULL_BYTES", 1 << 62)
    reasons = health()["reasons"]
    assert all("MiB are free on the disk of" in reason for reason in reasons)
    assert len(set(reasons)) == len(reasons)


def test_what_cannot_be_read_is_a_reason_and_no_error():
    with table_missing("default", "tmsdash_timerrun"):
        assert health()["reasons"] == ["Database default does not answer."]
