"""Runs commands of a site one after the other, each in a process of its own that need not load the product again.

Reads one JSON object a line, `{"arguments": ["audit_verify", "--json"], "days_ahead": 0}`, and answers each with
another one, `{"code": 3, "output": "The audit is BROKEN. ..."}`. Output, log and traceback come together, as on a
terminal.
"""

import json
import os
import sys
import tempfile
from datetime import timedelta
from typing import Any
from unittest import mock

from tmsdash import startup


def main() -> None:
    """Answer until the input ends."""
    startup.begin("audit_verify")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tmsdash.settings"
    import django

    django.setup()
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(_run(asked["arguments"], asked["days_ahead"])) + "\n")
        sys.stdout.flush()


def _run(arguments: list[str], days_ahead: int) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = os.fork()
        if not child:
            sys.exit(_carry_out(arguments, days_ahead, output.fileno()))  # once its threads have ended, as any process
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "output": output.read()}


def _carry_out(arguments: list[str], days_ahead: int, descriptor: int) -> int:
    """Run a command as `manage.py` does, and return its exit code."""
    from django.utils import timezone

    import manage

    sys.stdin.close()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    startup.command, sys.argv = arguments[0], ["manage.py", *arguments]
    present = timezone.now
    code = 0
    try:
        with mock.patch.object(timezone, "now", side_effect=lambda: present() + timedelta(days=days_ahead)):
            manage.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (what Python does with what nobody caught)
        sys.excepthook(*sys.exc_info())
        code = 1
    return code


if __name__ == "__main__":
    main()
