"""Through which index the rows of a list are found."""

from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone

from audit.choices import Action, Kind
from audit.models import Attempt, AttemptCustomer, AuditEntry
from audit.tests.making import make_attempt, refuse
from tmsdash.db.plans import planned

pytestmark = pytest.mark.usefixtures("databases")

AGO = timezone.now() - timedelta(days=1)
CUSTOMER = AttemptCustomer.objects.filter(cid="c9").values("attempt_id")


@pytest.fixture
def several(databases):
    """Of everything more than one attempt, and one each by oscar, on another cluster, and refused."""
    for _ in range(3):
        make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    make_attempt(Kind.ACCEPTED, user_id="oscar")
    make_attempt(Kind.ACCEPTED, Kind.RECORDED, cluster_url="https://brooke.example", cids=("c9",))
    refuse(action=Action.PE_DIRECT)


PLANS = [
    (Attempt, {"user_id": "olivia", "created_at__gte": AGO, "pk__gte": 1}, "attempt_by_user (user_id=? AND id>?)"),
    (Attempt, {"created_at__gte": AGO, "pk__gte": 1}, "USING INTEGER PRIMARY KEY (rowid>?)"),
    (Attempt, {"user_id": "olivia", "outcome": "refused"}, "attempt_by_seldom_outcome (outcome=?)"),
    (Attempt, {"user_id": "oscar", "outcome": "accepted"}, "attempt_by_user (user_id=?)"),
    (Attempt, {"user_id": "olivia", "action_code": 5}, "attempt_by_action (action_code=?)"),
    (Attempt, {"user_id": "olivia", "cluster_url": "https://brooke.example"}, "attempt_listed_by_cluster (<expr>=?)"),
    (Attempt, {"source": "command"}, "attempt_listed_by_source (<expr>=?)"),
    (Attempt, {"user_id": "olivia", "is_open": True}, "attempt_unfinished"),
    (Attempt, {"user_id": "olivia", "outcome": "pending"}, "attempt_unfinished"),
    (Attempt, {"user_id": "olivia", "is_open": False}, "attempt_by_user (user_id=?)"),
    (Attempt, {"user_id": "olivia", "pk__in": CUSTOMER}, "USING INTEGER PRIMARY KEY (rowid=?)"),
    (Attempt, {"pk__gte": 2, "pk__lte": 4, "pk__lt": 4}, "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    (AuditEntry, {"kind": "RECORDED", "action_type": "PE-Direct"}, "entry_by_action (action_type=?)"),
    (AuditEntry, {"attempt_id": "0" * 32, "kind": "INTENT"}, "sqlite_autoindex_audit_auditentry_1 (attempt_id=?"),
    (AuditEntry, {"kind": "REFUSED", "user_id": "oscar"}, "entry_by_seldom_kind (kind=?)"),
    (AuditEntry, {"kind": "RECORDED", "user_id": "olivia"}, "entry_by_user (user_id=?)"),
    (AuditEntry, {"kind": "REFUSED", "user_id": "olivia", "created_at__gte": AGO}, "entry_by_seldom_kind (kind=?)"),
]


@pytest.mark.sqlite
@pytest.mark.parametrize(("model", "conditions", "plan"), PLANS)
def test_rows_are_found_through_the_index_of_the_rarest_filter(several, model, conditions, plan):
    explained = planned(model.objects.filter(**conditions)).order_by("-pk")[:50].explain()
    assert plan in explained
    assert "created_at" not in explained
    if conditions.keys().isdisjoint({"pk__in", "attempt_id"}):  # a few rows are sorted
        assert "TEMP B-TREE" not in explained


@pytest.mark.sqlite
def test_of_several_bounds_of_the_key_sqlite_goes_by_the_tightest():
    """It would read every row from the first key of a period to its last, and throw away those behind a place."""
    rows = planned(Attempt.objects.filter(pk__gte=10, pk__lte=900, pk__lt=20, pk__gt=5))
    words = str(rows.query).partition("WHERE")[2]
    assert '+"audit_attempt"."id" > 5 AND "audit_attempt"."id" >= 10' in words
    assert '"audit_attempt"."id" < 20 AND +"audit_attempt"."id" <= 900' in words


@pytest.mark.parametrize(("model", "conditions", "plan"), PLANS)
def test_the_rows_are_the_same_however_they_are_found(several, model, conditions, plan):
    rows = model.objects.filter(**conditions)
    before = str(rows.query)
    assert {row.pk for row in planned(rows)} == {row.pk for row in rows}
    assert str(rows.query) == before


def test_of_what_is_equally_frequent_that_is_rarer_which_reaches_back_further(several, monkeypatch):
    monkeypatch.setattr("tmsdash.db.plans.COMPARED", 1)
    rows = planned(Attempt.objects.filter(user_id="olivia", action_code=Action.PE_ENABLE))
    assert [row.action_code for row in rows] == [Action.PE_ENABLE] * 4


@pytest.mark.parametrize(
    "condition", [Q(user_id="oscar") | Q(outcome="refused"), ~Q(user_id="olivia"), Q(user_id__gt="olivia")]
)
def test_other_conditions_stay_as_they_are(several, condition):
    rows = Attempt.objects.filter(condition)
    assert {row.pk for row in planned(rows)} == {row.pk for row in rows}
