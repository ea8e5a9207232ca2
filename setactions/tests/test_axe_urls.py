"""Every page of the site as everybody sees it, looked at with axe-core. A new URL is somebody's page, or named here."""

import re

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from setactions.tests.test_access import ROLES, ROWS, client_of, path_of, people  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.chromium, pytest.mark.axe, pytest.mark.pages]
# What is no page: files, JSON, parts of pages, and what only leads on.
NO_PAGES = {
    *(
        "proxy_fetch",
        "health",
        "metrics",
        "api_job_actions",
        "api_job_appstatus",
        "api_status",
        "api_jobs_mine",
        "api_job",
    ),
    *("api_job_customers", "api_session", "api_audit_customer", "api_audit_checkpoint", "api_audit_consistency"),
    *("compare_csv", "unknown_csv", "known_csv", "all_csv", "activity_csv", "batch_report", "batch_unknown_csv"),
    *("live_status_csv", "app_run_csv", "job_customers_csv", "evidence", "admin:audit_attempt_csv"),
    *("admin:audit_attempt_jsonl", "attempt_progress", "batch_progress", "app_run_progress", "admin:jsi18n"),
    *("admin:view_on_site", "admin:jobs_jobcustomer_change", "admin:jobs_jobcustomer_history"),
    *(
        "admin_login",
        "admin:login",
        "admin:password_change",
        "admin:password_change_done",
    ),  # the site has its own instead
    *("oidc", "oidc_callback", "logout", "admin_logout", "admin:logout", "favicon"),
    # Buttons: tests of states press them, where what they answer is a page.
    *("review", "send", "batch_start", "leave_out", "compare", "leave_out_there", "attempt_check", "attempt_decide"),
    *("attempt_edit", "attempt_repair", "job_verify", "job_rest", "batch_pause", "batch_stop", "batch_resume"),
    *("batch_rest", "batch_verify", "read_customer", "live_status_read", "live_status_list", "live_status_answer"),
    *("app_start", "app_run_pause", "app_run_stop", "app_run_resume", "keep_form"),
}
# What the admin has for nobody, since what has happened is not to be changed.
NOBODYS = re.compile("admin:(autocomplete|.*_history|(audit_.*|jobs_(batch|job|jobcustomer))_(add|delete))")


def test_every_page_is_for_everybody(accessible, people, tms, path_of, settings):  # noqa: F811
    settings.OIDC_ISSUER_URL = "http://127.0.0.1:1"  # nobody is there
    settings.TMS_TOKEN_URLS = {"evian3": f"{tms.url}/oauth2/token"}
    walked = set()
    for route in ROWS:
        path = path_of(route)
        for role in ROLES:
            answer = client_of(people, role).get(path, follow=True)
            if is_page(answer):
                accessible(answer, status=None)
                walked |= {answer.resolver_match.view_name} if answer.status_code == 200 else set()
    unseen = names() - walked
    assert sorted(name for name in unseen - NO_PAGES if not NOBODYS.fullmatch(name)) == []


def is_page(answer):
    is_html = answer.get("Content-Type", "").startswith("text/html")
    return is_html and not answer.streaming and b"<html" in answer.content


def names():
    """The names of all URLs of the site."""

    def walk(resolver, namespace=""):
        for pattern in resolver.url_patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern, namespace + (f"{pattern.namespace}:" if pattern.namespace else ""))
            elif isinstance(pattern, URLPattern) and pattern.name:
                yield namespace + pattern.name

    return {*walk(get_resolver())}
