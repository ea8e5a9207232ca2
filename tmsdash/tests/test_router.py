"""Every app's tables are in its own database and nowhere else."""

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import connections
from model_bakery import baker

from audit.models import Attempt, AttemptCustomer, AuditEntry
from jobs.models import Job, JobCustomer
from tmsdash.router import AppRouter

MODELS = [
    *((model, "jobs") for model in (Job, JobCustomer)),
    *((model, "audit") for model in (Attempt, AttemptCustomer, AuditEntry)),
    *((model, "default") for model in (User, Group, apps.get_model("sessions", "Session"))),
]
OURS_EVERYWHERE = {"django_migrations"}  # each database keeps its own list of what was applied


def home_of(model):
    return {"jobs": "jobs", "audit": "audit"}.get(model._meta.app_label, "default")


@pytest.mark.parametrize(("model", "alias"), MODELS)
def test_each_model_is_read_from_and_written_to_the_database_of_its_app(model, alias):
    assert AppRouter().db_for_read(model) == alias
    assert AppRouter().db_for_write(model) == alias
    assert model._default_manager.db == alias


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        (Job, JobCustomer, True),
        (Attempt, AttemptCustomer, True),
        (User, Group, True),
        (Job, Attempt, False),
        (Job, User, False),
        (User, AuditEntry, False),
    ],
)
def test_rows_refer_to_each_other_within_one_database_only(first, second, allowed):
    assert AppRouter().allow_relation(first(), second()) is allowed


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
@pytest.mark.parametrize("app_label", ["jobs", "audit", "auth", "sessions", "setactions", "an_app_to_come"])
def test_an_app_is_migrated_in_one_database(alias, app_label):
    assert AppRouter().allow_migrate(alias, app_label) is (
        alias == {"jobs": "jobs", "audit": "audit"}.get(app_label, "default")
    )


def test_the_product_uses_this_router():
    assert settings.DATABASE_ROUTERS == ["tmsdash.router.AppRouter"]
    assert list(settings.DATABASES) == ["default", "jobs", "audit"]


def test_no_model_refers_across_databases():
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if field.is_relation and field.related_model and not field.auto_created:
                assert home_of(field.related_model) == home_of(model), field


def test_every_table_is_in_the_right_database_and_no_table_in_two(databases):
    tables = {alias: set(connections[alias].introspection.table_names()) - OURS_EVERYWHERE for alias in connections}
    expected: dict[str, set[str]] = {alias: set() for alias in connections}
    for model in apps.get_models(include_auto_created=True):
        expected[home_of(model)].add(model._meta.db_table)
    assert tables == expected
    assert sum(map(len, tables.values())) == len(set().union(*tables.values()))


def test_rows_land_in_the_database_of_their_app_without_being_told(databases):
    rows = [baker.make(model) for model in (Job, Attempt, User)]
    assert [row._state.db for row in rows] == ["jobs", "audit", "default"]
