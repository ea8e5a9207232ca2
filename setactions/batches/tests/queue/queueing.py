"""A real Redis for tests, workers that do one task when a test wants it, and what tests ask of a batch."""

import base64
import json
import socket
import subprocess
import time

import redis
from kombu import pools

from audit.actors import Actor
from audit.choices import Source
from jobs.batches.scopes import Scope
from jobs.models import Batch
from setactions.batches import queued
from setactions.token import Token
from tmsdash.broker import QUEUE
from tmsdash.celery import app
from tmsdash.tests.fixtures import TOKEN

HOST = "127.0.0.1"
ACTOR = Actor(user_id="olivia", source=Source.BATCH)
START_S = 20


class RedisServer:
    """Redis on a port of its own, which forgets everything when it ends."""

    def __init__(self, folder, *options):
        with socket.socket() as port:
            port.bind((HOST, 0))
            self.port = port.getsockname()[1]
        self.url = f"redis://{HOST}:{self.port}/0"
        self.client = redis.Redis(HOST, self.port)
        self._command = ["redis-server", "--port", str(self.port), "--bind", HOST, "--dir", str(folder), *options]
        self.start()

    def start(self):
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_S
        while True:
            try:
                return self.client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < give_up
                time.sleep(0.01)  # another process: there is no event to wait for

    def stop(self):
        self._process.kill()
        self._process.wait()


class Workers:
    """All tasks that are in the queue, and what does one of them, in the test's own process."""

    def __init__(self, server):
        self.server = server

    def waiting(self):
        """Return the arguments of the tasks in the queue, the one that is next first."""
        return [_arguments(message) for message in reversed(self.server.client.lrange(QUEUE, 0, -1))]

    def take(self):
        """Take the next task out of the queue and return its arguments."""
        _, message = self.server.client.brpop([QUEUE], timeout=START_S)
        return _arguments(message)

    def do(self, task):
        """Do a task as a worker does."""
        queued.carry(**task)

    def do_next(self):
        """Do the next task, and return its arguments."""
        task = self.take()
        self.do(task)
        return task

    def do_all(self, at_most=100):
        """Do tasks, and those that they send, until there are none."""
        while self.server.client.llen(QUEUE):
            assert at_most
            at_most -= 1
            self.do_next()

    def everything(self):
        """Return all that Redis holds, as text."""
        client = self.server.client
        kinds = {"list": lambda key: client.lrange(key, 0, -1), "hash": client.hgetall, "set": client.smembers}
        read = {key: kinds.get(client.type(key).decode(), client.dump)(key) for key in client.scan_iter()}
        return repr(read)


def _arguments(message):
    body = json.loads(message)["body"]
    _, arguments, _ = json.loads(base64.b64decode(body))
    return arguments


def use(url):
    """Let Celery's application use this broker, with connections of its own."""
    pools.reset()
    app._pool = app.amqp._producer_pool = None
    app.conf.broker_url = url


def start(batch, token=TOKEN):
    queued.start(batch, ACTOR, Token(token), Scope.WAITING)


def now(batch):
    return Batch.objects.get(pk=batch.pk)


def states(batch):
    return [*batch.chunks.order_by("number").values_list("state", flat=True)]
