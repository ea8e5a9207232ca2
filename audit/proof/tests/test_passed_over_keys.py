"""A lost key that an earlier version passed over by itself is reported until a person acknowledges it."""

import pytest

from audit import chain
from audit.choices import Kind
from audit.proof.tests.test_lost_keys import NOBODYS, OTHER_KEY, acknowledge, cut_off_the_last_attempt, findings
from audit.proof.verification import verify
from audit.tests.making import make_attempt
from audit.tests.sealing import head, run
from tmsdash.db.transactions import write_transaction

pytestmark = pytest.mark.usefixtures("databases", "empty_seal_dir")


def pass_over(settings):
    """Go on behind a key that is not known, as the product once did by itself."""
    found = head()
    body = {"change": "changed", "from": found.key_id, "known": False, "to": "x", "what": "audit key"}
    settings.AUDIT_KEY = OTHER_KEY
    with write_transaction("audit"):
        entry = chain.new_entry(None, Kind.SETTING_CHANGED, "system", body)
        chain.append([entry], behind=(found.sequence, found.mac, found.key_id))


def test_each_key_that_was_passed_over_is_reported_until_it_is_acknowledged(audited, settings):
    lost = chain.id_of_key(settings.AUDIT_KEY)
    pass_over(settings)
    make_attempt()
    assert [text[:9] for text in findings()] == ["entry 1: ", "entry 10:"]
    assert run("audit_seal")[0] == run("audit_keys")[0] == run("audit_verify")[0] == 3
    assert acknowledge(lost)[0] == 0
    assert findings() == []
    assert run("audit_seal")[0] == 0
    assert verify().lost_keys[0].last == 9


def test_a_cut_that_was_passed_over_is_reported_though_no_entry_has_that_key(audited, settings):
    known = settings.AUDIT_KEY
    cut_off_the_last_attempt()
    pass_over(settings)
    settings.AUDIT_OLD_KEYS = [known]
    assert findings() == [
        f"entry 8: It follows entries under the key {NOBODYS}, which was not known then, so the end of what "
        "that key signed may have been cut off. If the key is lost, acknowledge that: manage.py audit_keys says how."
    ]
    assert run("audit_seal")[0] == 3
    assert acknowledge(NOBODYS)[0] == 0
    assert findings() == []


def test_a_key_that_was_passed_over_and_found_again_is_reported_too(audited, settings):
    known = settings.AUDIT_KEY
    pass_over(settings)
    settings.AUDIT_OLD_KEYS = [known]
    assert [text[:9] for text in findings()] == ["entry 10:"]
    assert acknowledge(chain.id_of_key(known))[0] == 0
    assert findings() == []
