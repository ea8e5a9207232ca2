"""Who may open what: every URL of the site, asked for by everybody. A new URL needs a row here."""

import re

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from audit.choices import Action, Kind
from audit.models import Attempt, AuditEntry
from audit.tests.making import make_attempt
from jobs.app_status.tests.making import make_run
from jobs.models import Job, RunbookEntry
from jobs.tests.making import make_batch, make_job
from setactions.pages.review_places import keep
from setactions.pages.sealing import Review
from setactions.payload import Submission
from setactions.tms.clusters import cluster_named
from tmsdash.models import Banner
from tmsdash.tests.fixtures import signed_in
from tmsdash.web.tests.test_response_headers import is_text

# olivia is the operator to whom the attempt and the job belong; alice is a superuser and an auditor at once.
ROLES = ("nobody", "olivia", "oscar", "audrey", "adam", "alice")
# What GET and POST (without the fields that it wants) answer to each of ROLES; "in" leads to the page to sign in.
ROWS = {
    "": ("in 200 200 302 200 302", "in 405 405 405 405 405"),
    "review/": ("in 302 302 302 302 302", "in 400 400 403 400 403"),
    "review/<uuid:review_id>/": ("in 200 404 403 404 403", "in 405 405 405 405 405"),
    "review/<uuid:review_id>/send/": ("in 302 302 302 302 302", "in 303 404 403 404 403"),
    "review/<uuid:review_id>/start/": ("in 302 302 302 302 302", "in 303 404 403 404 403"),
    "review/<uuid:review_id>/edit/": ("in 200 404 403 404 403", "in 303 303 303 303 303"),
    "review/<uuid:review_id>/leave-out/": ("in 302 302 302 302 302", "in 303 404 403 404 403"),
    "review/<uuid:review_id>/compare/": ("in 302 302 302 302 302", "in 303 404 403 404 403"),
    "review/<uuid:review_id>/customers.csv": ("in 404 404 404 404 404", "in 405 405 405 405 405"),
    "review/<uuid:review_id>/leave-out-there/": ("in 302 302 302 302 302", "in 303 404 403 404 403"),
    "token/": ("in 404 404 404 404 404", "in 404 404 404 404 404"),  # the tests have no TMS_TOKEN_URLS
    "attempts/<uuid:attempt_id>/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "attempts/<uuid:attempt_id>/progress/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "attempts/<uuid:attempt_id>/check/": ("in 302 404 302 302 302", "in 400 404 403 400 403"),
    "attempts/<uuid:attempt_id>/decide/": ("in 302 404 302 302 302", "in 403 404 403 409 403"),
    "attempts/<uuid:attempt_id>/edit/": ("in 302 404 302 302 302", "in 302 404 302 302 302"),
    "attempts/<uuid:attempt_id>/repair/": ("in 302 404 302 302 302", "in 302 404 302 302 302"),
    "attempts/<uuid:attempt_id>/unknown.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "attempts/<uuid:attempt_id>/all.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "attempts/<uuid:attempt_id>/known.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "attempts/<uuid:attempt_id>/evidence.zip": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "activity/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "activity/activity.csv": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "in-doubt/": ("in 200 200 403 200 403", "in 405 405 405 405 405"),
    "batches/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "batches/<uuid:batch_id>/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "batches/<uuid:batch_id>/progress/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "batches/<uuid:batch_id>/pause/": ("in 302 404 302 302 302", "in 409 404 403 409 403"),
    "batches/<uuid:batch_id>/stop/": ("in 302 404 302 302 302", "in 409 404 403 409 403"),
    "batches/<uuid:batch_id>/resume/": ("in 302 404 302 302 302", "in 400 404 403 403 403"),
    "batches/<uuid:batch_id>/rest/": ("in 302 404 302 302 302", "in 400 404 403 403 403"),
    "batches/<uuid:batch_id>/verify/": ("in 302 404 302 302 302", "in 400 404 403 400 403"),
    "batches/<uuid:batch_id>/report.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "batches/<uuid:batch_id>/unknown.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "read-customer/": ("in 302 302 302 302 302", "in 400 400 403 400 403"),
    "api/status/<str:name>": ("401 200 200 200 200 200", "401 405 405 405 405 405"),
    "status/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "status/<str:name>/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "status/<str:name>/customers.csv": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "status/<str:name>/read/": ("in 302 302 302 302 302", "in 400 400 403 400 403"),
    "status/<str:name>/list/": ("in 302 302 302 302 302", "in 400 400 400 400 400"),
    "status/<str:name>/answer/": ("in 302 302 302 302 302", "in 400 400 403 400 403"),
    "apps/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "apps/start/": ("in 302 302 302 302 302", "in 400 400 403 400 403"),
    "apps/<uuid:run_id>/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "apps/<uuid:run_id>/progress/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "apps/<uuid:run_id>/pause/": ("in 302 404 302 302 302", "in 409 404 403 409 403"),
    "apps/<uuid:run_id>/stop/": ("in 302 404 302 302 302", "in 409 404 403 409 403"),
    "apps/<uuid:run_id>/resume/": ("in 302 404 302 302 302", "in 400 404 403 403 403"),
    "apps/<uuid:run_id>/customers.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "proxy_fetch": ("401 405 405 405 405 405", "401 400 400 403 400 403"),
    "health": ("200 200 200 200 200 200", "405 405 405 405 405 405"),
    "metrics": ("200 200 200 200 200 200", "405 405 405 405 405 405"),  # the tests ask from this host
    "jobs/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "jobs/<uuid:job_id>/": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "jobs/<uuid:job_id>/customers.csv": ("in 200 404 200 200 200", "in 405 405 405 405 405"),
    "jobs/<uuid:job_id>/verify/": ("in 302 404 302 302 302", "in 400 404 403 400 403"),
    "jobs/<uuid:job_id>/rest/": ("in 302 404 302 302 302", "in 302 404 403 302 403"),
    "api/jobs/mine": ("401 200 200 200 200 200", "401 405 405 405 405 405"),
    "api/jobs/<uuid:job_id>": ("401 200 404 200 200 200", "401 405 405 405 405 405"),
    "api/jobs/<uuid:job_id>/customers": ("401 200 404 200 200 200", "401 405 405 405 405 405"),
    "api/jobs/<uuid:job_id>/actions": ("401 200 404 200 200 200", "401 405 405 405 405 405"),
    "api/jobs/<uuid:job_id>/appstatus": ("401 200 404 200 200 200", "401 405 405 405 405 405"),
    "login/": ("200 302 302 302 302 302", "200 302 302 302 302 302"),
    "oidc/": ("404 404 404 404 404 404", "405 405 405 405 405 405"),  # the tests have no OIDC_ISSUER_URL
    "oidc/callback/": ("404 404 404 404 404 404", "405 405 405 405 405 405"),
    "oidc/signed-out/": ("404 404 404 404 404 404", "405 405 405 405 405 405"),
    "logout/": ("405 405 405 405 405 405", "302 302 302 302 302 302"),
    "password/": ("in 200 200 200 200 200", "in 200 200 200 200 200"),
    "second-factor/": ("in 200 200 200 200 200", "in 200 200 200 200 200"),
    "sessions/": ("in 200 200 200 200 200", "in 200 200 200 200 302"),  # alice has no password that could be missing
    "admin/login/": ("in 403 403 403 403 403", "405 405 405 405 405 405"),
    "admin/logout/": ("405 405 405 405 405 405", "302 302 302 302 302 302"),
    "admin/password_change/": ("in 200 200 200 200 200", "in 200 200 200 200 200"),
    "help/": ("200 200 200 200 200 200", "405 405 405 405 405 405"),
    "favicon.ico": ("200 200 200 200 200 200", "405 405 405 405 405 405"),
    "display/": ("200 200 200 200 200 200", "302 302 302 302 302 302"),
    "styles/": ("in 403 403 200 200 200", "in 405 405 405 405 405"),
    "keep/": ("405 405 405 405 405 405", "400 400 400 400 400 400"),
    "api/session": ("401 200 200 200 200 200", "401 200 200 200 200 200"),
    "api/audit/customer/<path:cid>": ("401 200 200 200 200 200", "401 405 405 405 405 405"),
    "api/audit/checkpoint": ("404 404 404 404 404 404", "405 405 405 405 405 405"),  # no AUDIT_WITNESS_TOKEN here
    "api/audit/consistency": ("404 404 404 404 404 404", "405 405 405 405 405 405"),
    "customers/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "customers/<customer:cid>/": ("in 200 200 200 200 200", "in 405 405 405 405 405"),
    "admin/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/password_change/done/": ("in 404 404 404 404 404", "in 404 404 404 404 404"),
    "admin/autocomplete/": ("in in in 403 403 403", "in in in 405 405 405"),
    "admin/jsi18n/": ("in in in 200 200 200", "in in in 405 405 405"),
    "admin/r/<path:place>": ("in 404 404 404 404 404", "in 404 404 404 404 404"),
    "admin/r/<path:content_type_id>/<path:object_id>/": ("in 404 404 404 404 404", "in 404 404 404 404 404"),
    "admin/jobs/job/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/jobs/job/add/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/job/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/jobs/job/<path:object_id>/delete/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/job/<path:object_id>/change/": ("in in in 200 200 200", "in in in 403 403 403"),
    "admin/jobs/job/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/jobs/batch/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/jobs/batch/add/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/batch/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/jobs/batch/<path:object_id>/delete/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/batch/<path:object_id>/change/": ("in in in 200 200 200", "in in in 403 403 403"),
    "admin/jobs/batch/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/jobs/jobcustomer/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/jobs/jobcustomer/add/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/jobcustomer/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/jobs/jobcustomer/<path:object_id>/delete/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/jobs/jobcustomer/<path:object_id>/change/": ("in in in 302 302 302", "in in in 403 403 403"),
    "admin/jobs/jobcustomer/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/jobs/runbookentry/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/jobs/runbookentry/add/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/jobs/runbookentry/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/jobs/runbookentry/<path:object_id>/delete/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/jobs/runbookentry/<path:object_id>/change/": ("in in in 200 200 200", "in in in 403 200 403"),
    "admin/jobs/runbookentry/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/auth/user/<id>/password/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/auth/user/<id>/sessions/": ("in in in 403 200 403", "in in in 403 302 403"),
    "admin/auth/user/": ("in in in 403 200 200", "in in in 403 200 200"),
    "admin/auth/user/add/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/auth/user/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/auth/user/<path:object_id>/delete/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/auth/user/<path:object_id>/change/": ("in in in 403 200 200", "in in in 403 200 403"),
    "admin/auth/user/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/auth/group/": ("in in in 403 200 200", "in in in 403 200 200"),
    "admin/auth/group/add/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/auth/group/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/auth/group/<path:object_id>/delete/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/auth/group/<path:object_id>/change/": ("in in in 403 200 200", "in in in 403 200 403"),
    "admin/auth/group/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/tmsdash/banner/": ("in in in 403 200 200", "in in in 403 200 200"),
    "admin/tmsdash/banner/add/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/tmsdash/banner/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/tmsdash/banner/<path:object_id>/delete/": ("in in in 403 200 403", "in in in 403 200 403"),
    "admin/tmsdash/banner/<path:object_id>/change/": ("in in in 403 200 200", "in in in 403 200 403"),
    "admin/tmsdash/banner/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/audit/attempt/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/audit/attempt/export.csv": ("in in in 200 200 200", "in in in 405 405 405"),
    "admin/audit/attempt/export.jsonl": ("in in in 200 200 200", "in in in 405 405 405"),
    "admin/audit/attempt/add/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/audit/attempt/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/audit/attempt/<path:object_id>/delete/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/audit/attempt/<path:object_id>/change/": ("in in in 200 200 200", "in in in 403 403 403"),
    "admin/audit/attempt/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/audit/auditentry/": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/audit/auditentry/how-to-check/": ("in in in 200 200 200", "in in in 405 405 405"),
    "admin/audit/auditentry/add/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/audit/auditentry/<path:object_id>/history/": ("in in in 404 404 404", "in in in 404 404 404"),
    "admin/audit/auditentry/<path:object_id>/delete/": ("in in in 403 403 403", "in in in 403 403 403"),
    "admin/audit/auditentry/<path:object_id>/change/": ("in in in 200 200 200", "in in in 403 403 403"),
    "admin/audit/auditentry/<path:object_id>/": ("in in in 302 302 302", "in in in 302 302 302"),
    "admin/^(?P1jobs|auth|tmsdash|audit)/$": ("in in in 200 200 200", "in in in 200 200 200"),
    "admin/(?P1.*)$": ("in in in 404 404 404", "in in in 404 404 404"),
}


@pytest.fixture
def people(olivia, oscar, audrey, adam):
    alice = User.objects.create_superuser("alice")
    alice.groups.add(Group.objects.get(name="Auditors"))
    return {"olivia": olivia, "oscar": oscar, "audrey": audrey, "adam": adam, "alice": alice}


@pytest.fixture
def path_of(people):
    """A function that makes a path from a route: with ids of olivia's things."""
    doubtful = make_attempt(Kind.UNKNOWN)
    rejected = make_attempt(Kind.REJECTED, message="those CIDs ['a1'] do not exist")
    job, batch, run = make_job(), make_batch(), make_run()
    reviewed = Review.of(Submission(cluster_named("evian3"), Action.PE_ENABLE, "PE-Enable", ("a1",)))
    keep(reviewed, "olivia")
    ids = {
        "jobs/batch": batch.pk,
        "jobs/job": job.pk,
        "jobs/jobcustomer": job.customers.first().pk,
        "jobs/runbookentry": RunbookEntry.objects.create(pattern="is not Ready", meaning="TMS is still starting.").pk,
        "tmsdash/banner": Banner.objects.create(text="Back at ten.", changed_at=timezone.now()).pk,
        "auth/user": people["oscar"].pk,
        "auth/group": Group.objects.create(name="Friends").pk,
        "audit/attempt": doubtful.pk,
        "audit/auditentry": AuditEntry.objects.first().pk,
    }

    def make(route):
        attempt = rejected if route.endswith(".csv") else doubtful
        model = re.match(r"admin/(\w+/\w+)/", route)
        of_model = str(ids.get(model[1], "") if model else "")
        values = {
            "uuid:attempt_id": str(attempt.attempt_id),
            "uuid:job_id": str(job.job_id),
            "uuid:review_id": str(reviewed.attempt_id),
            "uuid:batch_id": str(batch.batch_id),
            "uuid:run_id": str(run.run_id),
            "path:cid": "a1",
            "customer:cid": "a1",
            "str:name": "evian3",
            "path:content_type_id": "1",
            "path:place": "1/1/",
            "path:object_id": of_model or "1",
            "id": of_model,
        }
        path = re.sub(r"<(.+?)>", lambda match: values[match[1]], route)
        return "/" + path.replace("^(?P1jobs|auth|tmsdash|audit)/$", "jobs/").replace("(?P1.*)$", "nonsense/")

    return make


def routes():
    """Every route of the site, as the resolver has them."""

    def walk(patterns, before=""):
        for pattern in patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                yield re.sub(r"\?P<\w+>", "?P1", route)
            else:
                yield from walk(pattern.url_patterns, route)

    return list(dict.fromkeys(walk(get_resolver().url_patterns)))


def client_of(people, role):
    return signed_in(people[role]) if role in people else Client()


def shown(answer):
    """The status, or "in" for a redirect to the page to sign in."""
    return "in" if re.match(r"/(admin/)?login/\?next=", answer.get("Location", "")) else str(answer.status_code)


def answers(people, path):
    """What everybody gets for a GET, and what for a POST."""
    clients = [client_of(people, role) for role in ROLES]
    return tuple(" ".join(shown(client.generic(method, path)) for client in clients) for method in ("GET", "POST"))


def test_there_is_a_row_for_every_url():
    assert [route for route in routes() if route not in ROWS] == []
    assert [route for route in ROWS if route not in routes()] == []


@pytest.mark.pages  # on PostgreSQL each page is asked for by test_site_walk.py
@pytest.mark.parametrize("route", ROWS)
def test_everybody_gets_what_the_row_says(people, path_of, route, caplog):
    path = path_of(route)
    before = state()
    assert answers(people, path) == ROWS[route]
    assert state() == before
    logged = [message for message in caplog.messages if message.startswith("[ACCESS] denied")]
    assert [message.split("user=")[1].split(",")[0] for message in logged] == denied(route)


def denied(route):
    """Whose requests for a route are denied, in the order of `answers`: what strangers are led away from is not."""
    # Pages that do not exist.
    is_nonsense = route == "admin/(?P1.*)$" or route.startswith(("admin/r/", "admin/password_change/done/"))
    codes = {"in", "403"} if is_nonsense else {"in", "403", "404"}
    rows = [zip(ROLES, row.split(), strict=True) for row in ROWS[route]]
    return [role for row in rows for role, code in row if role != "nobody" and code in codes]


@pytest.mark.pages
def test_everything_that_is_text_names_its_charset(people, path_of):
    for role in ("adam", "nobody"):
        for route in ROWS:
            given = client_of(people, role).get(path_of(route)).get("Content-Type", "")
            assert not is_text(given) or "charset=" in given, (route, given)


def state():
    """What nobody changes by just opening pages and sending empty forms."""
    people = User.objects.order_by("pk").values_list("username", "password", "is_active", "is_staff", "is_superuser")
    attempts = Attempt.objects.exclude(outcome="refused").count()
    return [*people], attempts, Job.objects.count(), Group.objects.count()


@pytest.mark.pages
def test_a_deactivated_user_is_nobody(people, path_of):
    client = signed_in(people["adam"])
    people["adam"].is_active = False
    people["adam"].save()
    for route in ROWS:
        for method in ("GET", "POST"):
            path = path_of(route)
            assert shown(client.generic(method, path)) == shown(Client().generic(method, path)), path


ODD_METHODS = ("PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "X" * 100, "POST GET")


@pytest.mark.pages
def test_methods_that_no_page_uses_reach_no_view(people, path_of, tms):
    client = client_of(people, "adam")
    for path in [*map(path_of, ROWS), "/static/tmsdash.css", "/static/nonsense", "/nonsense"]:
        for method in ODD_METHODS:
            answer = client.generic(method, path, b"\xff{", headers={"X-Planted": "planted"})
            assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, POST, OPTIONS"), (method, path)
            assert b"planted" not in answer.content
    assert Client().generic("TRACE", "/api/jobs/mine").json()["outcome"] == "refused"
    assert tms.calls() == []


@pytest.mark.pages
def test_no_other_method_breaks_a_view(people, path_of, tms):
    client = client_of(people, "adam")
    for route in ROWS:
        for method in ("OPTIONS", "HEAD", "get"):
            assert client.generic(method, path_of(route), b"\xff{").status_code < 500, (method, route)
    assert tms.calls() == []
