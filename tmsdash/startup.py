"""What a process does first: keep its files private, and take the token out of its environment.

Django is not imported here: a process that has to begin anew should find that out in milliseconds.
"""

import os
import sys

TOKEN = "TMS_TOKEN"  # noqa: S105 (the name of the variable)
TOKEN_PIPE = "TMSDASH_TOKEN_PIPE"  # noqa: S105 (the number of a descriptor, from a process to itself begun anew)
MAX_TOKEN_BYTES = 10_000  # more than a token may have, and less than fits into a pipe

# Commands that set up an installation; only these create keys and database files.
MAKERS = frozenset({"migrate", "migrate_all", "restore", "demo"})
# Commands that run `reconcile` by themselves; it must not use the token of whoever started them.
SERVERS = frozenset({"serve", "demo"})
# Commands that run without an installation. The empty name is a program that only imports the settings.
WITHOUT_KEYS = frozenset(
    {
        *("", "help", "--help", "-h", "version", "--version", "check", "doctor"),
        *("makemigrations", "diffsettings", "findstatic", "tms_simulator", "bench", "prove", "test"),
        "audit_witness",  # runs on a machine that has no site
    }
)

command = ""  # what this process was started for; empty if it only imports the settings
_token = ""


def begin(name: str) -> None:
    """Begin a process that was started for the command `name` (`serve` for a server).

    A token in its environment is taken out. The system goes on showing the environment that a process
    began with, so this one begins anew without it, and gets the token through a pipe.
    """
    global command
    command = name
    sys.dont_write_bytecode = sys.dont_write_bytecode or name == "doctor"  # it leaves nothing behind, whoever runs it
    os.umask(0o077)
    _receive_token()
    if TOKEN in os.environ:
        take_token_out()
        _send_token()
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 (no shell, and the very command line that began this one)


def begin_worker() -> None:
    """Begin a worker of a server; unlike `serve` it cannot start itself again without the token."""
    global command
    command = "serve"
    os.umask(0o077)
    take_token_out()


def take_token_out() -> None:
    """Remove the token from the environment of child processes; `given_token` returns it. A server keeps none."""
    global _token
    token = os.environ.pop(TOKEN, "").strip()
    if command not in SERVERS:
        _token = token or _token


def given_token() -> str:
    """Return the token that was in the environment, but only once; otherwise the empty string."""
    global _token
    take_token_out()
    token, _token = _token, ""
    return token


def makes_installation() -> bool:
    """Tell whether this process may create an installation: its folder, keys and databases."""
    if command == "restore":  # only of an existing backup, which has a manifest
        return any(os.path.isfile(os.path.join(word, "manifest.json")) for word in sys.argv[2:])  # noqa: PTH113, PTH118
    return command in MAKERS and {"--plan", "--check"}.isdisjoint(sys.argv[1:])


def needs_no_keys() -> bool:
    """Tell whether this process may run without an installation; its keys are not kept."""
    return command in WITHOUT_KEYS or not {"--help", "-h"}.isdisjoint(sys.argv[1:])


def _send_token() -> None:
    reader, writer = os.pipe()
    os.write(writer, _token.encode(errors="surrogateescape")[:MAX_TOKEN_BYTES])
    os.close(writer)
    os.set_inheritable(reader, True)
    os.environ[TOKEN_PIPE] = str(reader)


def _receive_token() -> None:
    global _token
    number = os.environ.pop(TOKEN_PIPE, "")
    if number.isdecimal():
        with os.fdopen(int(number), "rb") as pipe:
            _token = pipe.read().decode(errors="surrogateescape")
