"""A whole made-up installation: accounts, attempts with their Jobs, batches, live states."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.apps import apps
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User

from audit.models import Attempt, AuditEntry
from audit.tallies import catch_up
from jobs.models import Batch, Job, JobDay
from setactions.devtools.demo_data.attempt_rows import AttemptRows
from setactions.devtools.demo_data.bulk_rows import finish_bulk, prepared_for_bulk
from setactions.devtools.demo_data.ledger_rows import LedgerRows
from setactions.devtools.demo_data.live_rows import add_live_rows
from setactions.devtools.demo_data.scenario import OPERATORS, Fact, MadeBatch, Scenario
from tmsdash.accounts import AUDITORS
from tmsdash.accounts import OPERATORS as OPERATORS_GROUP
from tmsdash.db.day_ranges import extend

ACCOUNTS = (*OPERATORS, "auditor", "admin")
OWN_DATA = {"accounts": User, "entries of the audit": AuditEntry, "attempts": Attempt, "jobs": Job, "batches": Batch}


def own_data() -> list[str]:
    """Return what the site holds already, such as "3 jobs"; it may not be mixed with what is made up."""
    counts = {name: model._default_manager.count() for name, model in OWN_DATA.items()}
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def fill(*, jobs: int, seed: int, end: datetime, password: str, on_jobs: Callable[[int], object]) -> None:
    """Fill an empty site with so many jobs and what belongs to them; `on_jobs` is told how many are made.

    Raises DatabaseError; a site that is only half filled then is of no use.
    """
    _add_accounts(password, end)
    with prepared_for_bulk("audit", "jobs"):
        rows, ledger = AttemptRows(), LedgerRows(end)
        for event in Scenario(seed=seed, jobs=jobs, end=end).events():
            if isinstance(event, Fact):
                rows.add_fact(event.kind, event.at, event.user_id, event.ip_address, event.body)
                continue
            for attempt in event.attempts if isinstance(event, MadeBatch) else [event]:
                rows.add(attempt)
            if isinstance(event, MadeBatch):
                ledger.add(event)
            on_jobs(rows.jobs)
        rows.insert()
        ledger.insert()
        add_live_rows(end)
    catch_up()
    extend(JobDay, Job)
    for alias in ("audit", "jobs"):
        finish_bulk(alias, apps.get_app_config(alias).get_models())


def _add_accounts(password: str, at: datetime) -> None:
    hashed = make_password(password)  # once: it is slow on purpose
    roles = {"admin": {"is_staff": True, "is_superuser": True}, "auditor": {"is_staff": True}}
    for name in ACCOUNTS:
        role = roles.get(name, {})
        user = User.objects.create(username=name, password=hashed, date_joined=at - timedelta(days=1), **role)
        if name != "admin":
            user.groups.add(Group.objects.get(name=AUDITORS if name == "auditor" else OPERATORS_GROUP))
