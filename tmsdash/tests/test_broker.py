"""The broker of queued batches is to keep what crosses it in memory only."""

import pytest
from django.core import checks

from setactions.batches.tests.queue.queueing import RedisServer

pytestmark = getattr(pytest.mark, "redis-server")


@pytest.fixture
def warnings_of(tmp_path, settings):
    def ask(*options):
        server = RedisServer(tmp_path, *options)
        settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", server.url
        try:
            return {warning.id: warning for warning in checks.run_checks(include_deployment_checks=True)}
        finally:
            server.stop()

    return ask


@pytest.mark.parametrize("options", [("--save", "60 1"), ("--save", "", "--appendonly", "yes")])
def test_a_redis_that_writes_to_disk_is_warned_about(warnings_of, options):
    warning = warnings_of(*options)["tmsdash.W050"]
    assert "sealed tokens" in warning.msg
    assert '--save ""' in warning.hint


def test_a_redis_that_writes_nothing_passes(warnings_of):
    assert not {"tmsdash.W050", "tmsdash.W051", "tmsdash.W052"}.intersection(warnings_of("--save", ""))


def test_a_redis_that_does_not_say_is_warned_about(warnings_of):
    assert "tmsdash.W051" in warnings_of("--save", "", "--rename-command", "CONFIG", "")


def test_a_broker_that_does_not_answer_is_warned_about(settings):
    settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", "redis://127.0.0.1:1/0"
    ids = [warning.id for warning in checks.run_checks(include_deployment_checks=True)]
    assert "tmsdash.W052" in ids
