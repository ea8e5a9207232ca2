"""What the tests of `doctor` share."""

import pytest

from setactions.operations.doctor.findings import Finding
from setactions.operations.doctor.site import Site
from setactions.operations.doctor.wrong_settings import Loaded


@pytest.fixture
def found():
    """Look at a topic: its findings by id, each with a sentence and what mends it."""

    def run(look, loaded=None):
        findings = [said for said in look(Site(loaded or Loaded())) if isinstance(said, Finding)]
        assert all(finding.sentence.endswith((".", "?")) and finding.mend for finding in findings)
        return {finding.id: finding for finding in findings}

    return run
