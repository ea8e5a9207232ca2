"""All topics, looked at together."""

import re
from dataclasses import dataclass, replace
from functools import partial

from django.conf import settings

from setactions.operations.doctor import (
    checks,
    clocks,
    clusters,
    databases,
    disk,
    files,
    keys,
    notices,
    own_settings,
    program,
    queue,
    sign_in,
    timers,
)
from setactions.operations.doctor.findings import Finding, Look, Result, Well
from setactions.operations.doctor.parallel import in_parallel
from setactions.operations.doctor.site import Site
from setactions.operations.doctor.wrong_settings import KEYS

WAIT_S = 30.0  # for all topics together
_DATABASES = frozenset({"VAR_DIR", "DATABASE_URL", "JOBS_DATABASE_URL", "AUDIT_DATABASE_URL"})


@dataclass(frozen=True)
class Topic:
    """Something that is looked at, unless one of the settings that it `needs` is wrong; None needs all but keys."""

    name: str
    look: Look
    needs: frozenset[str] | None


TOPICS = [
    Topic("settings", own_settings.look, frozenset()),
    Topic("program", program.look, frozenset({"TMS_BATCH_ENGINE"})),
    Topic("files", files.look, frozenset({"AUDIT_SEAL_DIR"}) | _DATABASES - {"VAR_DIR"}),
    Topic("disk", disk.look, frozenset({"AUDIT_SEAL_DIR"}) | _DATABASES - {"VAR_DIR"}),
    Topic("databases", databases.look, _DATABASES),
    Topic("keys", keys.look, _DATABASES),
    Topic("timers", timers.look, _DATABASES | {"TIMER_INTERVALS"}),
    Topic("clock", clocks.look, _DATABASES),
    Topic("clusters", clusters.look, frozenset({"TMS_CLUSTERS", "TMS_PROXY", "TMS_CA_BUNDLE"})),
    Topic("queue", queue.look, frozenset({"TMS_BATCH_ENGINE", "CELERY_BROKER_URL"})),
    Topic("notices", notices.look, frozenset({"NOTIFY_WEBHOOK_URL", "NOTIFY_EMAIL", "EMAIL_URL"}) | _DATABASES),
    Topic("sign-in", sign_in.look, _DATABASES | {"OIDC_ISSUER_URL", "OIDC_GROUPS", "OIDC_CA_BUNDLE"}),
    Topic("checks", checks.look, None),
]


def diagnose(site: Site, wait_s: float = WAIT_S) -> list[Result]:
    """Look at all topics at once, `wait_s` seconds at most, and return what was found out about each."""
    looked = in_parallel([partial(_look, topic, site) for topic in TOPICS], wait_s)
    return [
        _unanswered(topic, wait_s) if result is None else result for topic, result in zip(TOPICS, looked, strict=True)
    ]


def _look(topic: Topic, site: Site) -> Result:
    wrong = site.loaded.wrong
    is_without = bool(wrong - KEYS if topic.needs is None else wrong & topic.needs)
    if topic.name != "settings" and (is_without or not site.loaded.is_complete):
        return Result(topic.name, looked=False, well=[], findings=[])
    yielded: list[Finding | Well] = []
    try:
        yielded.extend(topic.look(site))
    except Exception as error:  # noqa: BLE001 (whatever is wrong with one topic, the others are to be read)
        sentence = f"This could not be looked at: {type(error).__name__}: {error}."
        yielded.append(Finding(f"{topic.name}.failed", sentence, "manage.py check --deploy may say more."))
    findings = [_with_own_file(finding) for finding in yielded if isinstance(finding, Finding)]
    return Result(topic.name, True, [well.text for well in yielded if isinstance(well, Well)], findings)


def _with_own_file(finding: Finding) -> Finding:
    """Name the file that this site's settings are in, where a mend says `.env`."""
    file = str(settings.ENV_PATH or ".env")
    return replace(finding, mend=re.sub(r"(?<= )\.env\b", lambda _: file, finding.mend))


def _unanswered(topic: Topic, wait_s: float) -> Result:
    sentence = f"There was no answer within {wait_s:.0f} seconds."
    mend = "Look at the databases and at what this host waits for: ps, dmesg; then run doctor again."
    return Result(topic.name, True, [], [Finding(f"{topic.name}.timeout", sentence, mend)])
