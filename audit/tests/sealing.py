"""What tests of seals and archives share."""

from io import StringIO

import pytest
from django.core.management import call_command


@pytest.fixture
def empty_seal_dir(settings, tmp_path):
    """A folder for seals of this test's own; it is not there yet."""
    settings.AUDIT_SEAL_DIR = tmp_path / "seals"
    return settings.AUDIT_SEAL_DIR


def run(command, *arguments):
    """Run a command of the audit; return its exit code, and what it printed."""
    output = StringIO()
    try:
        call_command(command, *arguments, stdout=output, stderr=output)
    except SystemExit as ended:
        return ended.code, output.getvalue()
    return 0, output.getvalue()
