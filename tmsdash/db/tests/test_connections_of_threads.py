"""Connections of threads that have ended: with their caches they are most of the memory that a rush takes."""

import gc
import threading
import weakref

from django.db import connections

from tmsdash.processes import give_memory_back


def test_a_process_that_rests_lets_go_of_the_connections_of_its_ended_threads(databases):
    opened = []

    def ask():
        with connections["jobs"].cursor() as cursor:
            cursor.execute("SELECT 1")
        opened.append(weakref.ref(connections["jobs"]))

    gc.disable()  # as while no new objects are made
    try:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert opened[0]() is not None  # in a cycle with its own parts
        give_memory_back()
        assert opened[0]() is None
    finally:
        gc.enable()
