"""Make the stand-in's database and a session for each of so many users, print these, and serve.

python -m setactions.devtools.call_then_record PORT USERS WORKERS THREADS
"""

import json
import os
import sys

import django
from django.core.management import call_command
from django.db import connections
from django.test import Client

from tmsdash.processes import end_with_parent

APPLICATION = "setactions.devtools.call_then_record.wsgi:application"


def main(port: str, users: str, workers: str, threads: str) -> None:
    """Prepare, and become the server."""
    end_with_parent()
    os.environ["DJANGO_SETTINGS_MODULE"] = "setactions.devtools.call_then_record.settings"
    django.setup()
    for alias in connections:
        call_command("migrate", run_syncdb=True, database=alias, verbosity=0)
    from django.contrib.auth.models import User  # after the set-up

    sessions = []
    for number in range(int(users)):
        client = Client()
        client.force_login(User.objects.create(username=f"operator-{number}"))
        sessions.append(client.cookies["sessionid"].value)
    print(json.dumps(sessions), flush=True)  # noqa: T201
    arguments = ["--interface", "wsgi", APPLICATION, "--host", "127.0.0.1", "--port", port, "--no-ws"]
    arguments += ["--workers", workers, "--blocking-threads", threads, "--http", "1"]
    os.execv(sys.executable, [sys.executable, "-m", "granian", *arguments])  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
