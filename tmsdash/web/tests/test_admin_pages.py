"""The admin's pages are pages like all others: the same frame and parts, and nothing of Django's own look."""

import html
import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt
from jobs.models import JobCustomer, RunbookEntry
from jobs.tests.making import make_batch, make_job
from tmsdash.models import Banner
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import counted_queries, text_of

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]

MOST = 12  # queries of a page
JOBS, ATTEMPTS, ENTRIES = "/admin/jobs/job/", "/admin/audit/attempt/", "/admin/audit/auditentry/"


@pytest.fixture
def pages(adam, olivia):
    """The address of every page of the admin."""
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED)
    rows = [
        *(attempt, make_job(job_id=attempt.attempt_id), make_batch(), AuditEntry.objects.first()),
        *(olivia, Group.objects.create(name="Friends")),
        Banner.objects.create(text="Soon.", changed_by="adam", changed_at=timezone.now()),
        RunbookEntry.objects.create(pattern="is not Ready", meaning="TMS is still starting."),
    ]
    names = [(f"admin:{row._meta.app_label}_{row._meta.model_name}", row.pk) for row in rows]
    assert {type(row) for row in rows} == admin.site._registry.keys() - {JobCustomer}
    lists = [reverse(f"{name}_changelist") for name, _ in names]
    changes = [reverse(f"{name}_change", args=[pk]) for name, pk in names]
    forms = [address.replace("change/", "delete/") for address in changes[4:]] + [f"{path}add/" for path in lists[4:]]
    own = [f"/admin/auth/user/{olivia.pk}/{name}/" for name in ("password", "sessions")]
    customers = f"/admin/jobs/jobcustomer/?job__id__exact={rows[1].pk}"
    nothing = [f"{path}?q=nobody" for path in lists]
    return ["/admin/", "/admin/jobs/", *lists, *nothing, f"{ATTEMPTS}?o=2.-5", customers, *changes, *forms, *own]


def test_every_page_has_the_frame_of_all_pages_and_loads_nothing_of_djangos(adam, pages):
    client = signed_in(adam)
    for address in pages:
        with counted_queries() as queries:
            answer = client.get(address)
        assert answer.status_code == 200, address
        # The walk over all pages looks at lists, which note things for a whole day at the first visit.
        assert len(queries) <= MOST or "change" not in address, address
        page = answer.content.decode()
        sheets = re.findall(r'<link rel="stylesheet" href="([^"]*)"', page)
        assert [re.sub(r"\.\w{12}\.", ".", sheet) for sheet in sheets] == ["/static/tmsdash.css"], address
        for foreign in ("static/admin/", "jsi18n", "<style", "history", "Recent actions", "View site", "_popup"):
            assert foreign not in page, (address, foreign)
        assert page.count("<h1") == 1, address
        assert '<a href="/activity/"' in page, address


def test_the_first_page_leads_to_the_three_lists_and_says_what_each_is_for(audrey, olivia):
    page = signed_in(audrey).get("/admin/")
    links = re.findall(r'<h2><a href="([^"]*)">([^<]*)<', page.content.decode())
    assert links == [(JOBS, "User Jobs Audit"), (ATTEMPTS, "Attempts"), (ENTRIES, "Audit entries")]
    assert all(admin.site._registry[model].sentence in text_of(page) for model in (type(make_job()), AuditEntry))
    assert all(list_admin.sentence for model, list_admin in admin.site._registry.items() if model is not JobCustomer)
    olivia.is_staff = True
    olivia.save()
    assert "There is nothing here that your account may see." in text_of(signed_in(olivia).get("/admin/"))


def test_what_is_set_stands_above_a_list_with_ways_to_do_without_it(audrey):
    make_job()
    client = signed_in(audrey)
    address = f"{JOBS}?user_id=olivia&q=a1&since=2020-01-01&job_id=x"
    chips = chips_of(client.get(address.replace("&job_id=x", "")))
    assert list(chips) == ["Search: a1", "From day (UTC): 2020-01-01", "User: olivia"]
    assert set(chips["Search: a1"].removeprefix("?").split("&")) == {"since=2020-01-01", "user_id=olivia"}
    assert "user_id" not in chips["User: olivia"]
    day = chips_of(client.get(f"{JOBS}?since=2020-01-01&zone=Europe/Berlin"))
    assert day == {"From day (Europe/Berlin): 2020-01-01": "?"}
    [(words, without)] = chips_of(client.get(JOBS)).items()
    assert (words, without) == ("Last 30 days", "?time=all")
    assert chips_of(client.get(JOBS + without)) == {}


def chips_of(answer):
    """The chips of a list, by their words, with the addresses without them."""
    found = re.findall(r'class="chip" href="([^"]*)"[^>]*>([^<]*) <', answer.content.decode())
    return {words: html.unescape(address) for address, words in found}


def test_the_form_of_the_filters_goes_without_what_is_left_empty(audrey):
    make_job()
    client = signed_in(audrey)
    answer = client.get(f"{JOBS}?time=&since=&until=&status__exact=success&user_id=&q=a1&legacy__exact=")
    assert answer["Location"] == f"{JOBS}?status__exact=success&q=a1"
    page = client.get(answer["Location"]).content.decode()
    assert '<option value="success" selected>' in page
    assert '<input type="hidden" name="q" value="a1"' in page
    assert "Any cluster" not in page  # where there is but one


def test_a_sorted_column_says_so_and_turns_the_order(audrey):
    make_attempt(Kind.ACCEPTED)
    heads = signed_in(audrey).get(f"{ATTEMPTS}?o=1").content.decode().partition("<thead")[2].partition("</thead")[0]
    assert re.findall(r'aria-sort="(\w+)"[^>]*>\s*<a href="([^"]*)">\s*(\w+)', heads) == [
        ("ascending", "?o=-1", "Outcome")
    ]


def test_rows_and_pages_of_a_production_cluster_are_marked(audrey, settings):
    settings.TMS_CLUSTERS, settings.TMS_PRODUCTION_CLUSTERS = {"brooke": "https://brooke.example"}, ("brooke",)
    there, here = make_job(cluster_url="https://brooke.example"), make_job()
    client = signed_in(audrey)
    rows = re.findall(r'<tr class="([^"]*)"><td.*?change/[^>]*>([0-9a-f-]{36})<', client.get(JOBS).content.decode())
    assert rows == [("", str(here.job_id)), ("on-production", str(there.job_id))]
    bars = ["Production cluster:" in text_of(client.get(f"{JOBS}{job.pk}/change/")) for job in (there, here)]
    assert bars == [True, False]


def test_an_account_keeps_what_only_time_decides_and_other_fields_say_what_is_wrong(adam, olivia):
    client, path = signed_in(adam), f"/admin/auth/user/{olivia.pk}/change/"
    made = olivia.date_joined
    form = {"is_sent": "yes", "is_active": "on", "date_joined": "2001-01-01", "added": "2001-01-01"}
    answer = client.post(path, form | {"email": "no address"})
    assert 'href="#id_email"' in answer.content.decode()
    assert "Nothing was saved" in text_of(answer)
    assert client.post(path, form | {"email": "o@example.com"}).status_code == 302
    olivia.refresh_from_db()
    assert (olivia.email, olivia.date_joined) == ("o@example.com", made)
    assert client.post(path, {}).status_code == 200  # which would switch the account off


def test_nothing_has_a_history_beside_the_audit_or_a_window_of_its_own(adam, olivia):
    job = make_job()
    for path in (f"{JOBS}{job.pk}/", f"/admin/auth/user/{olivia.pk}/"):
        for address in (f"{path}history/", f"{path}change/?_popup=1", f"{path}change/?_to_field="):
            assert signed_in(adam).get(address).status_code == 404
    for asked in ("?_popup=1", "?_to_field="):
        assert signed_in(adam).post(f"{path}delete/{asked}", {"post": "yes"}).status_code == 404
    assert signed_in(adam).post(f"{path}change/", {"_saveasnew": "1"}).status_code == 404


@pytest.mark.parametrize("key", ["", "abc", "9" * 20])
def test_a_form_that_chooses_no_row_that_can_exist_does_nothing(adam, key):
    chosen = {"action": "delete_selected", "post": "yes", "_selected_action": [adam.pk, key]}
    answer = signed_in(adam).post("/admin/auth/user/", chosen)
    assert (answer.status_code, "Nothing was done." in text_of(answer)) == (400, True)
    adam.refresh_from_db()
