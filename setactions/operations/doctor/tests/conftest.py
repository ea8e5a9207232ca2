"""What the tests of `doctor` share."""

import os
import stat

import pytest

from setactions.operations.doctor.findings import Finding, Level
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


@pytest.fixture
def wrong(found):
    """The same, but only what is to be mended."""
    return lambda look: {name for name, finding in found(look).items() if finding.level == Level.WRONG}


def tree_of(folder):
    """Everything below a folder: names, owners, modes, sizes and times of change."""
    tree = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK) else b""
        if path.name.endswith("-shm"):  # memory that all readers share
            status, content = path.parent.lstat(), b""
        tree[str(path)] = (status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns, content)
    return tree
