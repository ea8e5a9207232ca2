"""Made-up installations: whatever is in them stands up to the product's own proofs."""

import json
from datetime import UTC, datetime
from itertools import islice

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db.models import Max
from django.utils import timezone

from audit import chain
from audit.actors import Actor
from audit.choices import Action, Kind, Outcome, Source
from audit.models import Attempt, AuditEntry
from audit.services import record_fact
from jobs.models import AppRunCustomer, Batch, BatchChunk, Job, JobConfirmation, LiveCluster, LiveState
from setactions.devtools.demo_data.scenario import CLUSTERS, OPERATORS, Scenario

JOBS = 300


def test_a_small_installation_is_whole_and_has_something_of_everything(databases, capsys):
    call_command("fill_demo_data", jobs=JOBS)
    printed = capsys.readouterr().out

    call_command("audit_verify", "--jobs", "--json")
    verified = json.loads(capsys.readouterr().out)
    assert (verified["whole"], verified["jobs"]) == (True, JOBS), verified
    assert (verified["attempts"], verified["unsigned_jobs"]) == (Attempt.objects.count(), 0)
    assert verified["job_customers"] / JOBS == pytest.approx(10, abs=3)
    attempt_kinds = {kind for kind in Kind if kind.needs_attempt} - {Kind.IMPORTED}
    site_kinds = {Kind.SIGNED_IN, Kind.SIGNED_OUT, Kind.SIGN_IN_FAILED, Kind.EXPORTED}
    assert {*AuditEntry.objects.values_list("kind", flat=True)} >= attempt_kinds | site_kinds
    assert {*Job.objects.values_list("action_code", flat=True)} == {*Action}
    assert len({*Job.objects.values_list("cluster_url", flat=True)} & {*CLUSTERS}) > 2
    assert {*Job.objects.values_list("source", flat=True)} == {*Source} - {Source.LEGACY, Source.LEGACY_LOG}
    assert Attempt.objects.filter(is_open=True, outcome=Outcome.PENDING).exists()
    assert AuditEntry.objects.filter(user_id__startswith="unknown:").exists()
    assert BatchChunk.objects.filter(state=BatchChunk.State.ACCEPTED).exists()
    confirmed = {row.is_whole for row in JobConfirmation.objects.all()}
    assert confirmed == {True, False}
    assert {*AppRunCustomer.objects.values_list("health", flat=True)} == {"ready", "failure"}
    listed = [LiveState.objects.filter(cluster=row).count() for row in LiveCluster.objects.all()]
    assert listed == [row.whole.customer_count for row in LiveCluster.objects.all()]
    newest = Job.objects.aggregate(newest=Max("created_at"))["newest"]
    assert 0 <= (timezone.now() - newest).days <= 10

    password = printed.split("password ")[1].split()[0]
    assert all(User.objects.get(username=name).check_password(password) for name in (OPERATORS[0], "admin"))


def test_the_product_goes_on_behind_made_up_rows(databases):
    """New rows find their numbers, and the chain its end."""
    call_command("fill_demo_data", jobs=5)
    last = AuditEntry.objects.aggregate(last=Max("sequence"))["last"]
    record_fact(Kind.EXPORTED, {}, actor=Actor(user_id="ann"), wait_s=5)
    assert AuditEntry.objects.latest("sequence").sequence == last + 1
    job = Job.objects.latest("pk")
    job.pk, job.job_id = None, "0" * 32
    job.save(force_insert=True)
    assert Batch.objects.count() == BatchChunk.objects.count() == 0  # of five jobs


def test_one_seed_makes_one_story():
    end = datetime(2026, 1, 1, tzinfo=UTC)

    def story(seed, end=end):
        return [*islice(Scenario(seed=seed, jobs=JOBS, end=end).events(), 200)]

    assert story(1) == story(1)
    assert story(1) != story(2)
    assert max(attempt.at for attempt in story(1)) < end


@pytest.mark.parametrize("own", ["an account", "an entry"])
def test_a_site_with_data_of_its_own_is_left_alone(databases, own):
    if own == "an account":
        User.objects.create_user("ann")
    else:
        record_fact(Kind.SIGNED_OUT, {}, actor=Actor(user_id="ann"), wait_s=5)
    with pytest.raises(CommandError, match=r"has data of its own: 1 (accounts|entries of the audit)\..* new folder"):
        call_command("fill_demo_data", jobs=5)
    assert not Job.objects.exists()
    assert User.objects.count() + chain.ChainHead.objects.get().sequence == 1


def test_no_jobs_are_refused(databases):
    with pytest.raises(CommandError, match="--jobs: make at least one"):
        call_command("fill_demo_data", jobs=0)
