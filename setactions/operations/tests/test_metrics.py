"""/metrics: what it tells is what the databases hold, cheaply, and only to whom it is meant for."""

import logging
import re
from collections import Counter
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.conf import settings
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audit.choices import Kind
from audit.models import Attempt, ChainHead
from audit.summary import count_outcomes
from audit.tests.making import make_attempt, refuse
from jobs.models import Batch, BatchChunk
from jobs.tests.making import make_batch
from setactions.operations import metrics_databases
from tmsdash import timers
from tmsdash.models import AuditStream, TimerRun
from tmsdash.server import histograms, shared
from tmsdash.tests.fixtures import TOKEN, signed_in
from tmsdash.tests.tools import table_missing

pytestmark = pytest.mark.usefixtures("databases")
METRICS_TOKEN = "scrape-0123456789abcdef"
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.fixture(autouse=True)
def nothing_counted_before():
    metrics_databases.forget()
    yield
    metrics_databases.forget()


def scrape(**headers):
    """The samples of a scrape, {(name, labels without the prefix): value}, all of them as Prometheus reads them."""
    answer = Client().get("/metrics", **headers)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    text = answer.content.decode()
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation and family.name.startswith("tms_dashboard_") for family in families)
    assert text.count("# HELP") == text.count("# TYPE") == len({family.name for family in families}) > 12
    return {
        (sample.name.removeprefix("tms_dashboard_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def aged(attempt, **ago):
    Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(**ago))


def test_attempts_are_those_of_the_audit_today_and_years_ago(client):
    old = [make_attempt(kind) for kind in (Kind.ACCEPTED, Kind.REJECTED, Kind.REJECTED)]
    for attempt in old:
        aged(attempt, days=800)
    aged(make_attempt(Kind.ACCEPTED, Kind.RECORDED), days=1)
    make_attempt(Kind.ACCEPTED)
    refuse()
    aged(make_attempt(), days=800)
    aged(make_attempt(Kind.UNKNOWN), hours=3)
    samples = scrape()
    told = {labels[0]: value for (name, *labels), value in samples.items() if name == "attempts" and value}
    assert told == {"accepted": 3, "rejected": 2, "refused": 1, "pending": 1, "unknown": 1}
    assert told == Counter(Attempt.objects.values_list("outcome", flat=True))
    assert (samples["attempts_in_doubt",], samples["attempts_open",]) == (
        2,
        Attempt.objects.filter(is_open=True).count(),
    )
    assert samples["attempts_in_doubt_oldest_seconds",] == pytest.approx(800 * 86_400, abs=60)
    assert samples["audit_chain_entries",] == ChainHead.objects.get().sequence
    assert sum(count_outcomes(None, timezone.now()).values()) == 8
    assert not count_outcomes(timezone.now(), timezone.now() - timedelta(days=1))  # as on the first days of a month


def test_a_scrape_counts_no_more_than_a_part_of_the_past_again(monkeypatch):
    scrape()
    counted = []
    monkeypatch.setattr(
        metrics_databases.summary, "count_outcomes", lambda *period: counted.append(period) or Counter()
    )
    metrics_databases.expire()
    for number in (1, 2, 2):
        scrape()
        assert len(counted) == number
    (before, last), (first, _) = counted
    assert (before, first) == (None, last + timedelta(microseconds=1))


def test_batches_and_their_backlog_are_told(databases):
    assert scrape()["batch_backlog_customers",] == 0
    running, paused, _, ended = (make_batch(cids=[f"c{n}" for n in range(5)], size=2) for _ in range(4))
    Batch.objects.exclude(pk=paused.pk).update(state=Batch.State.RUNNING)
    held = {"runner": "somebody", "runner_until": timezone.now() + timedelta(minutes=1)}
    Batch.objects.filter(pk=running.pk).update(**held)
    Batch.objects.filter(pk=paused.pk).update(state=Batch.State.PAUSED)
    Batch.objects.filter(pk=ended.pk).update(state=Batch.State.DONE, ended_at=timezone.now())
    BatchChunk.objects.filter(batch=running, number=0).update(state=BatchChunk.State.ACCEPTED)
    samples = scrape()
    assert [samples["batches", state] for state in ("running", "paused", "abandoned", "ended")] == [1, 1, 1, 1]
    assert (samples["batch_backlog_customers",], samples["batch_backlog_chunks",]) == (3 + 5 + 5, 2 + 3 + 3)


def test_timers_are_told_by_age_and_whether_they_are_late(settings):
    settings.TIMER_INTERVALS = dict.fromkeys(timers.NAMES, 1000) | {"verify": 0}
    at = timezone.now() - timedelta(seconds=3000)
    TimerRun.objects.create(name="backup", ended_at=at, succeeded=True, succeeded_at=at)
    TimerRun.objects.create(name="seal", ended_at=timezone.now(), succeeded=False)
    samples = scrape()
    assert samples["timer_last_success_age_seconds", "backup"] == pytest.approx(3000, abs=30)
    assert ("timer_last_success_age_seconds", "seal") not in samples
    assert [samples["timer_late", name] for name in timers.NAMES] == [0, 1, 0, 0]
    assert [samples["timer_failed", name] for name in timers.NAMES] == [0, 0, 1, 0]
    assert samples["timer_interval_seconds", "verify"] == 0


def test_a_set_action_is_in_the_histograms_of_calls_own_time_and_writes(fetch, tms):
    before = scrape()
    assert fetch().status_code == 200
    assert fetch(cids=["c3"], token="fault:http:400").json()["outcome"] == "rejected"
    after = scrape()

    def added(name, *labels):
        return after[name, *labels] - before[name, *labels]

    assert added("call_duration_seconds_count", "evian3") == 2
    assert added("own_duration_seconds_count") == 2
    assert added("own_duration_seconds_bucket", "+Inf") == 2
    assert 0 < added("own_duration_seconds_sum") < 60
    assert added("database_write_duration_seconds_count", "jobs") >= 1
    assert added("database_write_duration_seconds_count", "audit") >= 3
    assert after["calls_in_flight",] == 0


def test_more_clusters_than_have_a_histogram_share_one_that_is_told_once(settings):
    settings.TMS_CLUSTERS = {f"c{number}": f"https://c{number}.example" for number in range(40)}
    before = scrape()
    for number in (0, 30, 31, 39):
        histograms.calls_of(f"https://c{number}.example").observe(1.5)
    after, name = scrape(), "call_duration_seconds_count"
    added = {key[1]: after[key] - before[key] for key in after if key[0] == name and after[key] != before[key]}
    assert added == {"c0": 1, "c30": 1, "others": 2}


@pytest.mark.linux
def test_the_workers_of_a_server_are_added_up_and_what_a_dead_one_counted_stays(monkeypatch):
    memory = shared.SharedMemory(workers=3)
    monkeypatch.setattr(shared, "slots", memory.slots)
    histogram = histograms.WRITES["jobs"]
    for slot, seconds in zip(memory.slots, (0.0005, 0.004, 99), strict=True):
        monkeypatch.setattr(shared, "mine", slot)
        histogram.observe(seconds)
        slot[shared.Cell.CALLS] = 1
    memory.clear(1)
    samples = scrape()
    name = "database_write_duration_seconds"
    told = [samples[f"{name}_bucket", "jobs", bound] for bound in ("0.001", "0.0025", "0.005", "10.0", "+Inf")]
    assert told == [1, 1, 2, 2, 3]
    assert samples[f"{name}_sum", "jobs"] == pytest.approx(99.0045)
    assert (samples[f"{name}_count", "jobs"], samples[f"{name}_count", "audit"]) == (3, 0)
    assert samples["calls_in_flight",] == 2  # what it was doing is over


@pytest.mark.parametrize("alias", ["default", "jobs", "audit"])
def test_a_database_that_does_not_answer_is_told_and_the_others_are_all_the_same(alias):
    table = {"default": "tmsdash_timerrun", "jobs": "jobs_batch", "audit": "audit_attempt"}[alias]
    facts = {"default": ("timer_late", "seal"), "jobs": ("batches", "paused"), "audit": ("audit_chain_entries",)}
    with table_missing(alias, table):
        samples = scrape()
    assert {other: samples["database_up", other] for other in facts} == dict.fromkeys(facts, 1) | {alias: 0}
    assert {other for other, key in facts.items() if key in samples} == facts.keys() - {alias}
    assert scrape()["database_up", alias] == 1


def test_streams_of_the_audit_tell_how_far_they_are_behind():
    for _ in range(4):
        refuse()
    now, end = timezone.now(), ChainHead.objects.get().sequence
    for name, sequence in (("all", end), ("behind", end - 3), ("gone", end + 2)):
        at = now - timedelta(hours=1)
        AuditStream.objects.create(name=name, sequence=sequence, mac="m", moved_at=at)
    samples = scrape()
    entries = {name: samples["audit_stream_lag_entries", name] for name in ("all", "behind", "gone")}
    assert entries == {"all": 0, "behind": 3, "gone": 0}
    seconds = {name: samples["audit_stream_lag_seconds", name] for name in entries}
    assert seconds["all"] == 0
    assert 0 < seconds["behind"] < 60  # since the first of the three was written
    assert 3600 <= seconds["gone"] < 3660  # its history was replaced


def test_nobody_and_nothing_secret_is_in_it(fetch, tms):
    fetch(cids=["c-of-nobody-else"])
    refuse(user_id="somebody.special")
    text = Client().get("/metrics").content.decode()
    for word in ("c-of-nobody-else", "olivia", "somebody.special", TOKEN, str(Attempt.objects.first().attempt_id)):
        assert word not in text


@pytest.mark.pages
def test_the_page_of_monitoring_has_each_metric_and_the_alerts_name_no_others(fetch, tms):
    fetch()
    timers.record("seal", True)
    told = set(re.findall(r"^# TYPE tms_dashboard_(\w+) ", Client().get("/metrics").content.decode(), re.MULTILINE))
    page = (settings.BASE_DIR / "docs/monitoring.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)", cell)} == told
    alerts = (settings.BASE_DIR / "deploy/prometheus-alerts.yml").read_text()
    named = {name.removesuffix("_bucket") for name in re.findall(r"tms_dashboard_(\w+)", alerts)}
    assert len(named) > 8
    assert {name for name in named if not name.startswith("witness_")} <= told  # a witness writes its own


# -- Who may read it ----------------------------------------------------------------------------------------------


@pytest.mark.pages
@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded_for", "status"),
    [
        ("", "127.0.0.1", None, 200),
        ("", "::1", None, 200),
        ("", "203.0.113.7", None, 403),
        ("", "203.0.113.7", "127.0.0.1", 403),  # whoever asks may write anything there
        ("", "", None, 403),  # a Unix socket: nobody knows who is behind it
        ("127.0.0.1", "127.0.0.1", "203.0.113.7", 403),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1, 203.0.113.7", 403),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", 200),
        ("127.0.0.1", "127.0.0.1", None, 403),  # it does not say for whom it asks
        ("127.0.0.1", "127.0.0.1", "unknown", 403),
        ("127.0.0.1,10.0.0.1", "127.0.0.1", "unknown, 10.0.0.1", 403),
    ],
)
def test_without_the_token_it_is_for_this_host_alone(settings, proxies, peer, forwarded_for, status):
    settings.TRUSTED_PROXIES = [ip_network(address) for address in proxies.split(",") if address]
    headers = {} if forwarded_for is None else {"HTTP_X_FORWARDED_FOR": forwarded_for}
    answer = Client(REMOTE_ADDR=peer).get("/metrics", **headers)
    assert answer.status_code == status
    if status == 403:
        assert "Authorization: Bearer" in answer.json()["message"]
        assert "tms_dashboard" not in answer.content.decode()


@pytest.mark.pages
@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"])
def test_what_a_proxy_of_this_host_passes_on_is_not_this_hosts_even_where_nobody_trusts_it(header):
    assert Client(REMOTE_ADDR="127.0.0.1").get("/metrics", headers={header: "203.0.113.7"}).status_code == 403


@pytest.mark.pages
def test_the_token_opens_it_from_anywhere_but_not_over_plain_http_where_the_site_is_https(settings, adam):
    def status(value, **extra):
        headers = {"HTTP_AUTHORIZATION": value} if value else {}
        return Client().get("/metrics", **ELSEWHERE, **headers, **extra).status_code

    assert status(f"Bearer {METRICS_TOKEN}") == 403  # there is none
    assert status("Bearer ") == 403
    settings.METRICS_TOKEN = METRICS_TOKEN
    assert status(f"Bearer {METRICS_TOKEN}") == status(f"bearer  {METRICS_TOKEN}") == 200
    for wrong in ("", f"Bearer {METRICS_TOKEN}x", f"Basic {METRICS_TOKEN}", METRICS_TOKEN, "Bearer", "Bearer é"):
        assert status(wrong) == 403, wrong
    settings.SECURE_SSL_REDIRECT = True
    assert status(f"Bearer {METRICS_TOKEN}") == 403
    assert status(f"Bearer {METRICS_TOKEN}", secure=True) == 200
    assert Client().get("/metrics").status_code == 200  # this host
    assert signed_in(adam).get("/metrics", **ELSEWHERE, secure=True).status_code == 403  # no page for accounts


@pytest.mark.pages
@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_it_answers_under_any_host_name_with_one_line_in_the_log_at_most(path, caplog):
    for client, status in ((Client(), {200}), (Client(**ELSEWHERE), {200, 403})):
        for host in ("10.1.2.3:8000", "no such host", "tms.evil.example", ""):
            caplog.clear()
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code in status
            assert len([record for record in caplog.records if record.levelno > logging.DEBUG]) <= 1, caplog.text


# -- What it costs ------------------------------------------------------------------------------------------------


@pytest.mark.sqlite
def test_no_scrape_reads_a_whole_table_however_much_there_is():
    aged(make_attempt(Kind.ACCEPTED), days=50)
    make_attempt(Kind.UNKNOWN)
    make_batch()
    AuditStream.objects.create(name="siem", sequence=0, mac="m", moved_at=timezone.now())
    scrape()
    steps = []
    for alias in connections:
        with CaptureQueriesContext(connections[alias]) as captured:
            metrics_databases.forget()
            scrape()
        assert len(captured) <= 12
        with connections[alias].cursor() as cursor:
            for query in captured:
                if query["sql"].startswith("SELECT") and not query["sql"].endswith("DESC LIMIT 1"):  # the newest
                    cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                    steps += [f"{alias}: {step[-1]}" for step in cursor.fetchall()]
    small = ("attemptday", "talliedperiod", "chainhead", "timerrun", "auditstream", "doubtful", "django_migrations")
    by_index = ("attempt_unfinished", "attempt_at_time", "batch_unfinished", "batch_by_end")
    scans = [step for step in steps if "SCAN" in step and not any(word in step for word in (*small, *by_index))]
    assert scans == []
    assert any("attempt_at_time" in step for step in steps)
