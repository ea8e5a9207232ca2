"""Some ways of tampering that `manage.py prove --tampering` tries, on a real installation; and that it can fail."""

from dataclasses import replace
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from setactions.devtools.proofs.site import Site
from setactions.devtools.tampering import trial
from setactions.devtools.tampering.ways import GROUPS
from setactions.devtools.tests import sites
from setactions.management.commands import prove

pytestmark = pytest.mark.sqlite

NAMES = {
    "another user in an entry",
    "a body that nests deep",
    "a job taken away",
    "an attempt may have a kind twice",
    "an index emptied behind its definition",
    "audit.db cut in half",
    "no file of seals",
    "a copy under another name",
    "all of it, with both keys",
    "all of it, with both keys, but a witness has seen it",
}
UNSEEN = "all of it, with both keys"


def test_ways_of_tampering_are_found_or_their_reason_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Site, "set_up", sites.copied)
    trials = trial.try_ways(tmp_path, is_short=True, say=lambda line: None, names=NAMES)
    assert {tried.way.name for tried in trials.trials} == NAMES
    assert [(tried.way.name, tried.surprises) for tried in trials.trials if tried.surprises] == []
    assert [tried.way.name for tried in trials.trials if tried.ending.code == 0] == [UNSEEN]
    assert f"{UNSEEN}: Whoever holds both keys" in trials.as_table()

    def with_surprises(folder, **kwargs):
        return trial.Trials([replace(tried, surprises=["a traceback"]) for tried in trials.trials])

    monkeypatch.setattr(prove, "try_ways", with_surprises)
    output = StringIO()
    with pytest.raises(CommandError, match="The promise was not kept"):
        call_command("prove", tampering=True, stdout=output, stderr=StringIO())
    assert f"SURPRISE  {UNSEEN}: a traceback" in output.getvalue()


def test_each_way_has_a_name_of_its_own_and_says_what_is_found_or_why_not():
    ways = [way for group in GROUPS.values() for way in group]
    assert len({way.name for way in ways}) == len(ways) > 60
    assert [way.name for way in ways if bool(way.says) == bool(way.why_not)] == []
