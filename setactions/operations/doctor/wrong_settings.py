"""Settings that stop every other command: each is a finding here, and the others are loaded all the same.

A wrong setting is replaced by its default, and a key that is missing by one that is forgotten afterwards. What was
found out with these would be about another installation, so the topics that depend on them are left out.
"""

import os
import re
import secrets
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from setactions.operations.doctor.findings import Finding, Result
from setactions.operations.doctor.report import as_json, lines
from tmsdash import env, key_files

KEYS = frozenset({"SECRET_KEY", "TOKEN_KEY", "AUDIT_KEY"})
_MENDS_OF_FILE = {
    ": line ": "Correct that line of the file.",
    "is not UTF-8": "Save it as UTF-8; to convert it: iconv -f WINDOWS-1252 (or UTF-16) -t UTF-8 {file}",
    "byte order mark": r"sed -i '1s/^\xEF\xBB\xBF//' {file}",
    "": "Name a file that exists, or remove it.",
}


@dataclass
class Loaded:
    """What became of loading the settings: the names of those that are wrong, and whether there are any at all."""

    findings: list[Finding] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)
    is_complete: bool = True


loaded = Loaded()  # by this process


def load() -> Loaded:
    """Load the settings, whatever is wrong with them; if that is not possible, say so and end the process."""
    given = frozenset(os.environ)
    while not _is_next_loaded(given):
        pass
    if not loaded.is_complete:
        result = Result("settings", True, [], loaded.findings)
        print(as_json([result]) if "--json" in sys.argv else "\n".join(lines([result])))  # noqa: T201 (there is no command)
        sys.exit(1)
    return loaded


def _is_next_loaded(given: frozenset[str]) -> bool:
    """Try to load the settings; False if one was wrong, and the next try will get further."""
    try:
        _ = settings.INSTALLED_APPS
    except ImproperlyConfigured as error:
        match = re.match(r"([A-Z][A-Z0-9_]+): ", str(error))
        name = match[1] if match else "ENV_FILE"
        loaded.findings.append(_finding(name, str(error), is_given=name in given))
        loaded.is_complete = name != "ENV_FILE" and name not in loaded.wrong
        loaded.wrong.add(name)
        if name in KEYS or name == "VAR_DIR":  # where VAR_DIR cannot be read, none of the keys in it can
            for key in KEYS & {name} or KEYS - env.file_lines.keys() - given:
                os.environ[key] = secrets.token_urlsafe(64)
                key_files.passing.add(key)
        else:
            os.environ[name] = ""
        return not loaded.is_complete
    except OSError as error:
        sentence = f"{error.filename} cannot be looked at: {error.strerror}."
        loaded.findings.append(Finding("settings.unreadable", sentence, _as_owner(str(error.filename))))
        loaded.is_complete = False
    return True


def _finding(name: str, sentence: str, *, is_given: bool) -> Finding:
    place = "in the environment" if is_given else f"in {env.file_lines[name]}" if name in env.file_lines else "in .env"
    mend = f"Correct {name} {place}."
    if name in KEYS and "key file" in sentence:
        file = name.lower()
        return Finding(
            "key.missing", sentence, f"Copy {file} from where you keep the keys into VAR_DIR, then: chmod 600 {file}"
        )
    if "cannot be read" in sentence:
        file = sentence.removeprefix(f"{name}: ").partition(" cannot be read")[0]
        is_public = name == "TMS_CA_BUNDLE"
        mend = f"sudo chmod a+r {shlex.quote(file)}" if is_public else _as_owner(file, name == "VAR_DIR")
    elif name == "ENV_FILE":
        file = shlex.quote(
            sentence.removeprefix("ENV_FILE: ").partition(" is not UTF-8")[0].partition(" begins with")[0]
        )
        mend = next(mend.format(file=file) for words, mend in _MENDS_OF_FILE.items() if words in sentence)
    return Finding(f"setting.{name.lower()}", sentence, mend)


def _as_owner(path: str, is_in_var_dir: bool = False) -> str:
    """Return how to run `doctor` as the owner of a file, or of the first folder above it of which one is known.

    No site belongs to root: what does is given to whoever runs `doctor`, and VAR_DIR as a whole.
    """
    for place in (Path(path), *Path(path).parents):
        try:
            owner = key_files.owner_of(place)
        except OSError:
            continue
        if owner == "root":
            whole = ["-R", "{me}", str(Path(path).parent)] if is_in_var_dir else ["{me}", path]
            return shlex.join(["sudo", "chown", *whole]).replace("'{me}'", key_files.name_of(os.geteuid()))
        command = shlex.join([sys.executable, "manage.py", "doctor"])
        return f"As its user: sudo -u {owner} {command}. If the site's user is another: chown that user {path}"
    return f"chown the user of the site {path}"
