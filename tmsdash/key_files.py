"""Keys that an installation makes once and keeps in files: when to make one, and when it must exist already."""

import os
import pwd
import secrets
import shlex
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from tmsdash import env, startup

passing: set[str] = set()  # names of the keys that this process made up for itself, and that are gone with it


def generated(name: str, path: Path, *, minimum_length: int, used_by: Iterable[Path] = ()) -> str:
    """Return a secret: the variable's value, or a key that is made once and kept in `path`, mode 0600.

    Only what makes an installation makes keys, and never for databases that are there already: `used_by`
    names their files, and is asked only if the key is missing. A command that looks at no installation gets
    a key that is forgotten afterwards. Processes that start together agree on one key: each writes its own
    file and links it to `path`, which succeeds for the first one only.
    """
    value = env.text(name)
    if value:
        if len(value) < minimum_length:
            raise ImproperlyConfigured(f"{name}: use at least {minimum_length} characters.")
        return value
    try:
        is_used = not path.exists() and any(file.exists() and file.stat().st_size for file in used_by)
        if not path.exists():  # checked again: another process makes its key before its databases
            if startup.needs_no_keys() and not is_used:
                passing.add(name)
                return secrets.token_urlsafe(64)
            _refuse_to_make(name, path, is_used=is_used)
        kept = _read_or_make(path)
    except OSError as error:
        raise ImproperlyConfigured(f"VAR_DIR: {path} cannot be read or made ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}: {path} does not hold a key. Put the right one back.") from None
    if len(kept) < minimum_length:
        raise ImproperlyConfigured(f"{name}: the key kept in {path} is too short. Put the right one back.")
    return kept


def refuse_as_root(folder: Path) -> None:
    """Raise ImproperlyConfigured where root would make keys and databases in the folder of another user's site.

    That user's server could not open them. `restore` gives what it makes to the owner of what was there, but keys.
    """
    if os.geteuid() or not folder.is_dir() or not folder.stat().st_uid:
        return
    user = owner_of(folder)
    raise ImproperlyConfigured(
        f"VAR_DIR: {folder} belongs to {user}, who could not open what root makes there. Run this as that user: "
        f"sudo -u {user} {shlex.join([sys.executable, *sys.argv])}"
    )


def owner_of(path: Path) -> str:
    """Return the name of the user to whom a file belongs."""
    return name_of(path.stat().st_uid)


def name_of(uid: int) -> str:
    """Return the name of a user, or #number for one without a name, as sudo takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _refuse_to_make(name: str, path: Path, *, is_used: bool) -> None:
    """Raise ImproperlyConfigured unless this process may make keys and no database needs the missing one."""
    if is_used:
        raise ImproperlyConfigured(
            f"{name}: the key file {path} is missing, but databases exist that were made with it. Put it back from "
            f"your copy. If it is lost for good, give {name} a new value."
        )
    if not startup.makes_installation():
        raise ImproperlyConfigured(
            f"{name}: there is no key file {path}. Look at VAR_DIR; if this is a new installation or an upgrade, run "
            "manage.py migrate_all."
        )
    refuse_as_root(path.parent)


def _read_or_make(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of the machine must not look into it
        descriptor, own_file = tempfile.mkstemp(dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(64))
            with suppress(FileExistsError):  # another process was faster; its key is read below
                os.link(own_file, path)
        finally:
            Path(own_file).unlink()
    return path.read_text(encoding="utf-8").strip()
