"""The files that browsers load: collectstatic's, under names that hold a hash of the content, compressed by WhiteNoise.

`serve` collects them before it starts the server. A page never fails for want of them: what was not collected has its
plain name, under which WhiteNoise finds it in the product itself. Nothing is ever removed from STATIC_ROOT, so that
open pages and running servers of an earlier version go on finding their files.
"""

import hashlib
import logging
import os
import shutil
from functools import cached_property
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.management.commands import collectstatic
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

from tmsdash.db.locks import alone

logger = logging.getLogger(__name__)

MARKER = "collected"  # the file in STATIC_ROOT that holds the fingerprint of what was collected
WAIT_S = 60.0  # for another server that collects: one that froze must not keep others from starting


class Storage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """WhiteNoise's own, but a manifest that is missing or damaged is an empty one, and what it lacks keeps its name."""

    @cached_property
    def _urls(self) -> dict[str, str]:
        return {}

    def url(self, name: str, force: bool = False) -> str:
        """Return the address of a file. It is kept: each page has half a dozen, and the manifest is read once, too."""
        if name not in self._urls:
            self._urls[name] = super().url(name, force)
        return self._urls[name]

    def load_manifest(self) -> tuple[dict[str, str], str]:
        try:
            manifest: tuple[dict[str, str], str] = super().load_manifest()
        except ValueError:  # a full disk or a power cut cut it off
            return {}, ""
        return manifest

    def stored_name(self, name: str) -> str:
        try:
            return str(super().stored_name(name))
        except ValueError:
            return name


def collect() -> None:
    """Collect into STATIC_ROOT unless it is up to date; servers that start at once take turns. A failure is logged."""
    root, manifest = Path(settings.STATIC_ROOT), Storage.manifest_name
    # In place, collectstatic would take files away for a moment while others serve them, and damage what it was
    # writing when it is killed.
    new = root.with_name(f"{root.name}.new")
    try:
        with alone("static", on_wait=lambda: None, wait_s=WAIT_S):
            if is_collected():
                return  # in milliseconds instead of a second
            fingerprint = _fingerprint()
            shutil.rmtree(new, ignore_errors=True)  # of a server that was killed over it
            command = collectstatic.Command()
            command.storage = Storage(location=new)
            call_command(command, interactive=False, verbosity=0)
            others = shutil.ignore_patterns(manifest)  # which names the others, and so comes last
            shutil.copytree(new, root, ignore=others, copy_function=os.replace, dirs_exist_ok=True)
            (new / manifest).replace(root / manifest)
            shutil.rmtree(new)
            (root / MARKER).write_text(fingerprint)
    except OSError as error:
        logger.warning("[STATIC] The pages' files could not be collected, so they load more slowly: %s", error)


def is_collected() -> bool:
    """Tell whether what STATIC_ROOT holds is of this version."""
    try:
        return (Path(settings.STATIC_ROOT) / MARKER).read_text() == _fingerprint()
    except OSError:
        return False


def warn_unless_collected() -> None:
    """Say in the log what to do about a server that `serve` has not started."""
    if not (Path(settings.STATIC_ROOT) / Storage.manifest_name).exists():
        logger.warning("[STATIC] The pages' files load slowly until they are collected: manage.py collectstatic")


def _fingerprint() -> str:
    """Return a hash that changes when any file does."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
