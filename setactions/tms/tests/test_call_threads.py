"""Threads of calls: used again, never waited for, and keeping nothing of a call that is over."""

import gc
import os
import select
import socket
import threading
import weakref
from queue import Empty, SimpleQueue

import pytest

from audit.choices import Kind
from setactions.tms import call_threads, client
from setactions.tms.clusters import Cluster
from setactions.tms.tests.call_threads import CallThreads
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.tools import until

HANG_S = 60


@pytest.fixture
def threads(monkeypatch):
    return CallThreads(monkeypatch)


def call(url):
    return client.set_action(Cluster("c", url), "PE-Enable", ("a1",), Token(TOKEN))


def test_one_call_after_the_other_takes_one_thread(tms, threads):
    for _ in range(5):
        assert call(tms.url).kind == Kind.ACCEPTED
        threads.await_idle(1)
    assert len(threads.started) == 1


def test_a_thread_that_is_stuck_holds_up_no_other_call(tms, settings, monkeypatch, threads):
    """As in a name server's silence, which nothing can interrupt."""
    settings.TMS_DEADLINE_S = 1
    release, resolve = threading.Event(), socket.getaddrinfo

    def resolve_in_the_end(host, *args, **kwargs):
        if host == "slow.example":
            release.wait(HANG_S)
            host = "127.0.0.1"
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_in_the_end)
    slow = tms.url.replace("127.0.0.1", "slow.example")
    assert [call(slow).kind for _ in range(2)] == [Kind.NOT_SENT, Kind.NOT_SENT]
    settings.TMS_DEADLINE_S = HANG_S
    for _ in range(2):
        assert call(tms.url).kind == Kind.ACCEPTED
        threads.await_idle(1)
    assert len(threads.started) == 3
    release.set()
    threads.await_idle(3)
    assert len(tms.calls()) == 2  # those that were late found the gate closed


def test_a_thread_that_waits_in_vain_ends(tms, threads, monkeypatch):
    monkeypatch.setattr(call_threads, "IDLE_S", 0.01)
    assert call(tms.url).kind == Kind.ACCEPTED
    until(lambda: not threads.started)
    assert threads == []
    assert call(tms.url).kind == Kind.ACCEPTED


def test_a_thread_that_is_taken_as_its_time_is_up_does_what_it_was_taken_for(threads):
    class Late(SimpleQueue):
        def get(self, timeout=None):
            if timeout:
                raise Empty
            return super().get()

    queue, done = Late(), threading.Event()  # no longer among those that wait, and without its work yet
    thread = threading.Thread(target=call_threads._serve, args=(queue,), daemon=True)
    thread.start()
    queue.put(done.set)
    assert done.wait(HANG_S)
    thread.join(HANG_S)
    assert threads == []


def test_without_a_thread_nothing_is_sent_and_that_is_known(tms, threads, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    reply = call(tms.url)
    assert reply.kind == Kind.NOT_SENT
    assert "can't start new thread" in reply.message
    assert not tms.calls()


def test_nothing_of_a_call_stays_in_the_thread_that_waits_for_the_next(tms, threads, monkeypatch):
    exchanges, begin = [], client._Exchange.__post_init__

    def note(exchange):
        exchanges.append(weakref.ref(exchange))
        begin(exchange)

    monkeypatch.setattr(client._Exchange, "__post_init__", note)
    call(tms.url)
    call("http://127.0.0.1:1")
    threads.await_idle()
    gc.collect()
    assert [exchange() for exchange in exchanges] == [None, None]


def test_a_fork_has_no_threads_that_it_could_wait_for(threads):
    done = threading.Event()
    call_threads.run(done.set)
    assert done.wait(HANG_S)
    threads.await_idle(1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        call_threads.run(lambda: os.write(writer, b"done") and None)
        threading.Event().wait(HANG_S)
        os._exit(1)
    is_done, _, _ = select.select([reader], [], [], HANG_S)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert is_done
