"""Attempts whose outcome is in doubt, as they come about: TMS's answer is lost, or the server dies in the call."""

import io
import os
import re
import uuid
from html import unescape
from types import SimpleNamespace

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connections

from audit.actors import Actor
from audit.models import Attempt
from setactions.resolving import reconcile as reconcile_module
from setactions.resolving import roll_forward as roll_forward_module
from setactions.resolving.reconcile import reconcile
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN
from tmsdash.tests.killing import dying_at

OPERATIONS = Actor(user_id="ops@host")
LOST_AFTER, LOST_BEFORE = "fault:reset-after", "fault:reset-before"  # the answer is lost; applied, or not
VARIABLES = {"default": "DATABASE_URL", "jobs": "JOBS_DATABASE_URL", "audit": "AUDIT_DATABASE_URL"}


def send(fetch, *cids, **values):
    """olivia sends PE-Enable for a1 and b2, or what else is said; returns the attempt, whatever became of it."""
    answer = fetch(cids=cids or ("a1", "b2"), **({"sendAgain": True} | values))
    return Attempt.objects.get(attempt_id=answer.json()["attempt_id"])


def send_and_die(fetch, point, *cids, **values):
    """The same, and the server dies at a kill point."""
    key = uuid.uuid4()
    with dying_at(point) as deaths:
        fetch(cids=cids or ("a1", "b2"), key=key, **({"sendAgain": True} | values))
    assert deaths == [point]
    return Attempt.objects.get(attempt_id=key)


def tms_does(tms, action, *cids):
    """TMS carries out what did not come from the dashboard, or only now."""
    answer = requests.post(
        f"{tms.url}/tms/v1/set/action",
        json={"action": action, "cids": cids},
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=30,
    )
    assert answer.json()["success"]


def reads(tms):
    """The ids for which TMS was asked, reading by reading."""
    return [call.cids for call in tms.calls() if call.method == "GET"]


def run(token=TOKEN, **options):
    """Run reconcile as the operating system's user does, with a token unless it is None."""
    return reconcile(OPERATIONS, Token(token) if token else None, **options)


def run_reconcile(*arguments, token=None):
    """Run `manage.py reconcile` in this process; returns its exit code and what it printed."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if token is not None:
            patch.setenv("TMS_TOKEN", token)
        try:
            call_command("reconcile", *arguments, stdout=output)
        except SystemExit as ended:
            return ended.code, output.getvalue()
        except CommandError as error:
            return error.returncode, f"{error}"
        finally:
            os.environ.pop("TMS_TOKEN", None)
    return 0, output.getvalue()


def in_words(report):
    """A report without its zeros, empty lists and sentences."""
    return {name: value for name, value in vars(report).items() if value and name != "problems"}


def lose_patience(monkeypatch):
    """Let what is not a Set Action wait for locks as good as not at all."""
    for module in (reconcile_module, roll_forward_module):
        monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.1)


def between_readings(monkeypatch, action):
    """Do something in the place of waiting between the two readings; returns the waits that were asked for."""
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        action()

    monkeypatch.setattr(reconcile_module, "time", SimpleNamespace(sleep=sleep))
    return waits


def now(attempt):
    """The attempt as it is in the database."""
    return Attempt.objects.get(pk=attempt.pk)


def hidden_fields(page):
    """The hidden inputs of a page, as a browser would send them."""
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.content.decode())
    return {name: unescape(value) for name, value in fields}


def check(client, attempt, page=None, **data):
    """Press Check now, on the page that the press before it brought; None: on the attempt's own page."""
    return client.post(f"/attempts/{attempt.attempt_id}/check/", (hidden_fields(page) if page else {}) | data)


def somebody(name, olivia, oscar, audrey, adam):
    """Somebody of the cast, with or without a permission or a group."""
    if name == "oscar, who may decide":
        oscar.user_permissions.add(Permission.objects.get(codename="decide_attempt"))
    if name == "adam, an auditor":
        adam.groups.set(Group.objects.filter(name="Auditors"))
    if name == "olivia, an auditor":
        olivia.groups.add(Group.objects.get(name="Auditors"))
    if name == "olivia, no operator":
        olivia.groups.clear()
    return {"olivia": olivia, "oscar": oscar, "audrey": audrey, "adam": adam}[name.partition(",")[0]]


def environment_of_process(tms, var_dir):
    """What a process of its own needs to work on the test's databases, as impatient as the tests are."""
    urls = {}
    for connection in connections.all():
        described = connection.settings_dict
        is_file = connection.vendor == "sqlite"
        place = "sqlite://" if is_file else "postgres://{USER}@{HOST}:{PORT}".format(**described)
        urls[VARIABLES[connection.alias]] = f"{place}/{described['NAME']}"
    return urls | {
        "PATH": os.environ["PATH"],
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(var_dir),
        "AUDIT_KEY": settings.AUDIT_KEY,
        "SECRET_KEY": settings.SECRET_KEY,
        "TOKEN_KEY": settings.TOKEN_KEY,
        "TMS_CLUSTERS": f"evian3={tms.url}",
        "TMS_OPEN_AFTER_S": "0",
        "TMS_READBACK_INTERVAL_S": "0",
        "TMS_DEADLINE_S": "5",
    }
