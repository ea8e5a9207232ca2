"""How commands get a token: TMS_TOKEN, a file or a prompt, never an argument, which every process can read."""

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.views.decorators.debug import sensitive_variables

from setactions.refusal import Refusal
from setactions.token import Token
from setactions.typed_token import typed_token
from tmsdash import startup


def add_token_arguments(parser: CommandParser, variable: str = startup.TOKEN) -> None:
    """Add --token-file and --ask-token; `variable` is where the token comes from without them."""
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token-file",
        dest="from_file",
        metavar="FILE",
        help="read the token from FILE, or from standard input (-)",
    )
    token.add_argument(
        "--ask-token", action="store_true", help=f"ask for the token (otherwise it comes from {variable})"
    )


@sensitive_variables()
def token_of_options(options: dict[str, Any], otherwise: str | None = None) -> Token | None:
    """Return the token that the options give, or else the text `otherwise`, by default that of TMS_TOKEN.

    None without one. Raises CommandError if it is invalid.
    """
    if options["ask_token"]:
        return ask_for_token()
    if options["from_file"]:
        try:
            text = sys.stdin.read() if options["from_file"] == "-" else _read(Path(options["from_file"]))
        except (OSError, ValueError) as error:  # without the name, which may be a token in the wrong place
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
            raise CommandError(f"The token file cannot be read: {reason}.") from None
        return _as_token(text)
    text = startup.given_token() if otherwise is None else otherwise
    return _as_token(text) if text else None


@sensitive_variables()
def _read(path: Path) -> str:
    with path.open() as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
            sys.stderr.write(
                "Other users of this machine can read the token file. Make it readable only by you: chmod 600.\n"
            )
        return file.read()


@sensitive_variables()
def ask_for_token() -> Token:
    """Return the token that is typed on the terminal; raises CommandError if it is invalid, or nobody types one."""
    try:
        return _as_token(getpass.getpass("Bearer token: "))
    except EOFError:
        raise CommandError(
            "No token was given, and there is no terminal to ask on. Use --token-file or TMS_TOKEN."
        ) from None


@sensitive_variables()
def _as_token(text: str) -> Token:
    try:
        return typed_token(text)
    except Refusal as refusal:
        raise CommandError(refusal.message) from None
