"""Signals that end a process: those that it ignores from its beginning are left alone."""

import os
import re
import signal
from pathlib import Path

import pytest
from django.conf import settings

from tmsdash.processes import END_SIGNALS, ended_by_signals


@pytest.fixture(params=END_SIGNALS)
def number(request):
    before = signal.getsignal(request.param)
    yield request.param
    signal.signal(request.param, before)


def test_a_signal_ends_what_it_should_end_as_ctrl_c_does(number):
    signal.signal(number, lambda *_: None)
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is not signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), number)
    except KeyboardInterrupt:  # it would end the whole run of tests
        pytest.fail("It was not ignored.")
    assert signal.getsignal(number) is signal.SIG_IGN


def test_nothing_else_in_the_product_handles_signals():
    """Where they are handled, an ignored one is left alone."""
    root = Path(settings.BASE_DIR)
    sources = [path for app in ("tmsdash", "audit", "jobs", "setactions") for path in root.joinpath(app).rglob("*.py")]
    handling = {
        path.relative_to(root).as_posix()
        for path in sources
        if "tests" not in path.parts and re.search(r"\bsignal\.signal\(|add_signal_handler", path.read_text())
    }
    assert handling == {"tmsdash/processes.py"}
