"""Fixtures for batches that go through a real Redis, and are carried when the test wants it."""

import pytest

from setactions.batches import crew, queued
from setactions.batches.tests.queue.queueing import RedisServer, Workers, use
from setactions.queue import relay


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    redis = RedisServer(tmp_path_factory.mktemp("redis"), "--save", "", "--appendonly", "no")
    yield redis
    redis.stop()


@pytest.fixture
def engine(settings, monkeypatch, server):
    """Let batches go through the queue, at once; nobody watches them but the test. A turn is one chunk."""
    settings.TMS_BATCH_ENGINE, settings.CELERY_BROKER_URL = "celery", server.url
    monkeypatch.setattr(relay, "APART_S", 0)
    monkeypatch.setattr(crew, "APART_S", 0)
    monkeypatch.setattr(queued, "POLL_S", 0)
    monkeypatch.setattr(queued, "PAUSED_POLL_S", 0)
    monkeypatch.setattr(queued, "TURN_S", 0)
    watched = []
    monkeypatch.setattr(queued.relay.watch, "keep", watched.append)
    use(server.url)
    server.client.flushall()
    yield watched
    use("memory://")


@pytest.fixture
def workers(server):
    return Workers(server)
