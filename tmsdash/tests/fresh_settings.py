"""The settings as a fresh process has them."""

import os
import re
import runpy

import pytest
from django.conf import settings

SOURCE = settings.BASE_DIR / "tmsdash" / "settings.py"

READ = dict(re.findall(r'(?:env|env_addresses|key_files)\.\w+\(\s*"([A-Z0-9_]+)"()', SOURCE.read_text()))

DATABASE_URLS = ("DATABASE_URL", "JOBS_DATABASE_URL", "AUDIT_DATABASE_URL")


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """The settings as a fresh process has them whose environment is this and nothing else."""

    def run(**environment):
        for name in READ:
            monkeypatch.delenv(name, raising=False)
        for name, value in ({"ENV_FILE": os.devnull, "VAR_DIR": str(tmp_path / "var")} | environment).items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(SOURCE))

    return run
