"""Calls within a request ask the system for no memory, however deep they are."""

import subprocess
import sys

import pytest
from django.conf import settings

CALLS = 1000
# Prints how many pages of memory CALLS calls touch for the first time at the depth where these are most: in a thread of
# its own, as each request has, and then the same in one piece.
SCRIPT = f"""
import resource, threading
from tmsdash.server.frames import in_one_piece

def most_faults(*_):
    return max(map(faults_at, range(400)))

def faults_at(depth):
    if depth:
        return faults_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range({CALLS}):
        leaf()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

def leaf():
    pass

leaf.__code__ = leaf.__code__.replace(co_stacksize=200)  # larger than those above it: at some depth it does not fit
for call in (most_faults, in_one_piece(most_faults)):
    thread = threading.Thread(target=lambda: print(call(None, None)))
    thread.start()
    thread.join()
"""


@pytest.mark.linux
@pytest.mark.sqlite
def test_no_depth_makes_calls_slow():
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    bare, in_one_piece = map(int, run.stdout.split())
    assert bare > CALLS / 2  # or the Python in use needs no help any more
    assert in_one_piece < CALLS / 10
