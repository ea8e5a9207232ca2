"""Who may read and write the files of the site: its own user everything, others nothing that they could change.

Its user is the owner of VAR_DIR. What that user may do is told by owners, groups and modes, whoever runs `doctor`. The
system checks say what others may read of databases, keys and .env.
"""

import grp
import os
import pwd
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash.key_files import name_of, owner_of

READ, WRITE, ENTER = 4, 2, 1
KEY_FILES = ("secret_key", "token_key", "audit_key", "audit_signing_key")


def look(site: Site) -> Findings:
    """Yield which files the site's user cannot use, which ones others can change, and what a restore has left."""
    folder = Path(settings.VAR_DIR)
    if not folder.is_dir():
        sentence = f"VAR_DIR is not there: {folder}."
        yield Finding("var_dir.missing", sentence, "manage.py migrate_all makes a new one; or correct VAR_DIR in .env.")
        return
    user, uid = owner_of(folder), folder.stat().st_uid
    if uid == 0 and os.geteuid() != 0:
        me = name_of(os.geteuid())
        sentence = f"The site's files belong to root, and doctor runs as {me}."
        yield note("files.root", sentence, f"sudo chown -R {me} {folder}")
    elif os.geteuid() not in (0, uid):
        mend = f"sudo -u {user} {shlex.join([sys.executable, 'manage.py', 'doctor'])}"
        sentence = f"The site's user is {user}, and doctor runs as another one, who sees less of its files."
        yield note("files.other_user", sentence, mend)
    elif uid == 0:
        mend = f"useradd --system tms-dashboard && chown -R tms-dashboard {folder}"
        yield note("files.root", f"The site's files belong to root: {folder}.", mend)
    yield from _not_usable(folder, user, uid)
    if os.geteuid() in (0, uid):
        yield from _no_place_for_seals(user, uid)
    yield from _open_seals()
    yield from _left_by_restore()
    yield Well(f"{folder} belongs to {user}, who can use what is there")


def _not_usable(folder: Path, user: str, uid: int) -> Findings:
    databases = [Path(f"{file}{end}") for file in settings.DATABASE_FILES for end in ("", "-wal", "-shm")]
    seals = Path(settings.AUDIT_SEAL_DIR)
    wanted = dict.fromkeys([folder, seals, *(file.parent for file in databases)], READ | WRITE | ENTER)
    wanted |= dict.fromkeys([*databases, *_files_in(seals)], READ | WRITE)
    wanted |= dict.fromkeys([folder / name for name in KEY_FILES], READ)
    wanted |= dict.fromkeys(_files_in(folder, "*.lock"), READ)
    if settings.ENV_PATH:
        wanted[Path(settings.ENV_PATH)] = READ
    foreign: list[Path] = []
    closed: list[Path] = []
    for path, access in wanted.items():
        if os.access(path.parent, os.X_OK) and path.exists() and not _may(uid, path, access):
            (foreign if path.stat().st_uid != uid else closed).append(path)
    if foreign:
        names = ", ".join(str(path) for path in foreign)
        sentence = f"{user}, the site's user, cannot use what belongs to others: {names}."
        yield Finding("files.foreign", sentence, shlex.join(["chown", user, *map(str, foreign)]))
    if closed:
        sentence = f"{user}, the site's user, may not read or write {', '.join(str(path) for path in closed)}."
        yield Finding("files.closed", sentence, shlex.join(["chmod", "u+rwX", *map(str, closed)]))
    for path in {folder, seals} if seals.is_dir() else {folder}:
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            sentence = f"The disk of {path} takes no writes."
            yield Finding("files.read_only", sentence, f"mount -o remount,rw {path}; look at dmesg first.")


def _no_place_for_seals(user: str, uid: int) -> Findings:
    """Yield that the folder of seals is not there, if the site's user could not make it."""
    seals = Path(settings.AUDIT_SEAL_DIR)
    above = next(folder for folder in seals.parents if folder.exists())
    if not seals.exists() and not _may(uid, above, WRITE | ENTER):
        sentence = f"The folder of the audit's seals is not there, and {user} cannot make it: {seals}."
        yield Finding("seals.missing", sentence, shlex.join(["install", "-d", "-o", user, "-m", "700", str(seals)]))


def _open_seals() -> Findings:
    """Yield seals that others may change, or read. They hold no secret, but whoever changes them hides a forgery."""
    folder = Path(settings.AUDIT_SEAL_DIR)
    if not os.access(folder, os.R_OK | os.X_OK):
        return
    paths = [folder, *_files_in(folder)]
    for name, bits, can, change, make in (
        ("seals.writable", 0o022, "can change", "go-w", Finding),
        ("seals.readable", 0o044, "can read", "go-rwx", note),
    ):
        opened = [path for path in paths if path.stat().st_mode & bits]
        if opened:
            sentence = f"Other users of this machine {can} the audit's seals in {folder}."
            yield make(name, sentence, f"chmod -R {change} {shlex.quote(str(folder))}")


def _left_by_restore() -> Findings:
    """Yield what a restore has kept of the databases that it replaced, with its size."""
    kept = [
        path for file in settings.DATABASE_FILES for path in _files_in(file.parent, f"{file.name}.before-restore-*")
    ]
    kept = sorted(set(kept))
    if kept:
        size = sum(path.stat().st_size for path in kept)
        sentence = f"A restore has kept {len(kept)} files of the databases before it, {size / 1e6:,.1f} MB."
        mend = f"Once the restored site is as it should be: {shlex.join(['rm', *map(str, kept)])}"
        yield note("files.before_restore", sentence, mend)


def _files_in(folder: Path, pattern: str = "*") -> Iterator[Path]:
    if os.access(folder, os.R_OK | os.X_OK):
        yield from (path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink())


def _may(uid: int, path: Path, access: int) -> bool:
    """Tell whether a user may use a file or folder in this way, by its owner, group and mode."""
    if uid == 0:
        return True
    status = path.stat()
    shift = 6 if status.st_uid == uid else 3 if status.st_gid in _groups_of(uid) else 0
    if path.is_file():
        access &= ~ENTER
    return (status.st_mode >> shift) & access == access


def _groups_of(uid: int) -> set[int]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem)}
