"""Our cursor takes what Django's takes."""

import pytest
from django.db import connections

pytestmark = [pytest.mark.sqlite, pytest.mark.usefixtures("databases")]


@pytest.mark.parametrize("again", range(2))
def test_marks_and_percent_signs_are_turned_into_sqlites(again):
    with connections["jobs"].cursor() as cursor:
        cursor.execute("SELECT %s, '100%%', '%%s', %s", ["a", "%s"])
        assert cursor.fetchone() == ("a", "100%", "%s", "%s")
        cursor.execute("SELECT %(a)s, '100%%', %(b)s, %(a)s", {"a": 1, "b": 2})
        assert cursor.fetchone() == (1, "100%", 2, 1)
        cursor.execute("SELECT '100%'")  # without parameters nothing is replaced
        assert cursor.fetchone() == ("100%",)


def test_what_goes_past_django_stays_as_it_is():
    raw = connections["jobs"]
    raw.ensure_connection()
    assert raw.connection.execute("SELECT '%%', ?", ["%s"]).fetchone() == ("%%", "%s")
