"""Sites for proofs: copies of one that was set up, which takes seconds."""

import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from django.conf import settings

from setactions.devtools.proofs.site import Site

set_up: Callable[[Site], None] = Site.set_up


@cache
def _folder():
    folder = Path(tempfile.mkdtemp(dir=settings.VAR_DIR)) / "site"
    folder.mkdir()
    with Site(folder, {"main": "http://127.0.0.1:9"}) as site:
        set_up(site)
    return folder


def copied(site):
    """What stands in for `Site.set_up`: the same files, log included."""
    shutil.copytree(_folder(), site.folder, dirs_exist_ok=True)
