"""All system checks of Django's and ours, those of `check --deploy` and of the databases among them."""

from django.conf import settings
from django.core import checks

from setactions.operations.doctor.findings import Finding, Findings, Level, Well
from setactions.operations.doctor.site import Site
from tmsdash import env

# Said by other topics: keys, misspelt names, the queue, and databases that do not answer.
ELSEWHERE = frozenset(
    {"tmsdash.E010", "tmsdash.W010", "audit.E002", "tmsdash.W007", "tmsdash.W012"}
    | {f"tmsdash.W05{number}" for number in range(3)}
)
# What plain HTTP means, which is as it should be where only this machine reaches the site.
PLAIN_HTTP = frozenset(f"security.{number}" for number in ("W004", "W008", "W012", "W016"))
NOTES = frozenset({"tmsdash.W001", "tmsdash.W042"})  # a site can do without
GENERATED_AUDIT_KEY = "tmsdash.W004"


def look(site: Site) -> Findings:
    """Yield what the checks find, but what another topic says."""
    messages = checks.run_checks(include_deployment_checks=True, databases=site.answering)
    is_local = env.LOOPBACK_NAMES.issuperset(settings.ALLOWED_HOSTS)
    for message in messages:
        name = str(message.id)
        if message.is_silenced() or name in ELSEWHERE or (is_local and name in PLAIN_HTTP):
            continue
        is_note = name in NOTES or (name == GENERATED_AUDIT_KEY and is_local)
        hint = str(message.hint or "manage.py check --deploy says more.")
        yield Finding(name, str(message.msg), hint, Level.NOTE if is_note else Level.WRONG)
    yield Well("nothing of Django's and our own")
