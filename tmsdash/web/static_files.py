"""The files that browsers load: collected into STATIC_ROOT, compressed, under names that hold a hash of the content."""

import hashlib
import logging
import shutil
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.management.commands import collectstatic
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

from tmsdash.db.locks import alone

logger = logging.getLogger(__name__)

WAIT_S = 60.0  # for another server that collects: one that froze must not keep others from starting
COLLECTED = "collected"  # holds the fingerprint of what was collected last


class Storage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Gives each file its hashed name, or its plain one if it was not collected: whitenoise finds it all the same."""

    def load_manifest(self) -> tuple[dict[str, str], str]:
        try:
            manifest: tuple[dict[str, str], str] = super().load_manifest()
        except ValueError:  # a file that a full disk or a power cut left behind
            return {}, ""
        return manifest

    def stored_name(self, name: str) -> str:
        try:
            stored: str = super().stored_name(name)
        except ValueError:
            return name
        return stored


def collect() -> None:
    """Bring STATIC_ROOT up to date, which takes milliseconds if it is already; servers that start at once take turns.

    Nothing is taken away: pages and servers of an older release go on finding their files. What
    cannot be collected is logged, and served uncompressed under its plain name.
    """
    root = Path(settings.STATIC_ROOT)
    try:
        root.mkdir(exist_ok=True)  # in VAR_DIR, which a server with a wrong one must not make
        with alone("static", on_wait=lambda: None, wait_s=WAIT_S):
            _collect_unless_done(root)
    except OSError as error:
        logger.warning("[STATIC] The pages' files could not be collected, so they load more slowly: %s", error)


def _collect_unless_done(root: Path) -> None:
    marker, fingerprint = root / COLLECTED, _fingerprint()
    if marker.exists() and marker.read_text() == fingerprint:
        return
    # In a folder of its own first: files that are being served must not be gone even for a moment.
    new = root.with_name(f"{root.name}.new")
    shutil.rmtree(new, ignore_errors=True)  # of a server that was killed over it
    command = collectstatic.Command()
    command.storage = Storage(location=new)
    call_command(command, interactive=False, verbosity=0)
    _move(new, root)
    shutil.rmtree(new)
    marker.write_text(fingerprint)


def _move(source: Path, target: Path) -> None:
    """Move every file of `source` to its place in `target`, the manifest last: it names the others."""
    files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda file: file.name == Storage.manifest_name):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (source / file).replace(target / file)


def _fingerprint() -> str:
    """Return a hash that changes when any file does."""
    lines = []
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            lines.append(f"{name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
