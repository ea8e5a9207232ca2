"""The program: its packages as they were locked, and the pages' files."""

import re
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from django.conf import settings

from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash.version import product_version
from tmsdash.web.static_files import is_collected

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)( ; )?", re.MULTILINE)  # name, version, and whether for some
NAMED = 3  # of the packages that differ


def look(site: Site) -> Findings:
    """Yield what is wrong with what was installed."""
    locks = ["requirements.lock"]
    if settings.TMS_BATCH_ENGINE == "celery":
        locks.append("requirements-celery.lock")
    for name in locks:
        lock = settings.BASE_DIR / name
        differing = list(_differing(lock))
        if differing:
            more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
            sentence = f"Packages are not those of {name}: {', '.join(differing[:NAMED])}{more}."
            command = [sys.executable, "-m", "pip", "install", "--require-hashes", "-r", str(lock)]
            yield Finding("packages.differ", sentence, shlex.join(command))
    if not is_collected():
        sentence = "The pages' files are not collected for this version, so pages load more slowly."
        yield note(
            "static.not_collected", sentence, "manage.py serve collects them; or: manage.py collectstatic --noinput"
        )
    yield Well(f"version {product_version()}, Python {sys.version.split()[0]}, packages as locked")


def _differing(lock: Path) -> Iterator[str]:
    """Yield each package of a lock that is missing or has another version, in words."""
    for name, version, marker in _LOCKED.findall(lock.read_text(encoding="utf-8")) if lock.exists() else ():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            if not marker:  # what is for some systems only may be missing
                yield f"{name} {version} is missing"
            continue
        if installed != version:
            yield f"{name} is {installed}, not {version}"
