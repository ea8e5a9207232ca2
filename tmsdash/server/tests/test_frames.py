"""Calls within a request ask the system for no memory, however deep they are."""

import resource

import pytest

from tmsdash.server.frames import in_one_piece

CALLS = 1000
pytestmark = [pytest.mark.linux, pytest.mark.sqlite]


def most_faults():
    """How many pages of memory CALLS calls touch for the first time, at the depth where these are most."""
    return max(map(faults_at, range(400)))


def faults_at(depth):
    if depth:
        return faults_at(depth - 1)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(CALLS):
        leaf()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before


def leaf():
    pass


def test_no_depth_makes_calls_slow():
    assert most_faults() > CALLS / 2  # or the Python in use needs no help any more
    assert in_one_piece(lambda *_: most_faults())({}, None) < CALLS / 10
