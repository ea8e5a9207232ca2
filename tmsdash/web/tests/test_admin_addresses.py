"""Which parameters the admin's lists take: those of their own filters and links, and none of Django's others."""

import html
import itertools
import re
import uuid
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import RequestFactory
from django.urls import reverse

from audit.choices import Kind
from audit.models import AuditEntry
from audit.tests.making import make_attempt, refuse
from jobs.models import Job
from jobs.tests.making import make_batch, make_job
from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import done_within, text_of
from tmsdash.web.admin import AddressError, ExactSearchAdmin
from tmsdash.web.long_lists import behind_parameters

pytestmark = [pytest.mark.usefixtures("databases"), pytest.mark.pages]

GUARD_S = 30  # what takes so long does not end at all
ENDLESS = "(a+)+$"  # for a regular expression, with the text below
LOOKUPS = (
    *("regex", "iregex", "icontains", "contains", "startswith", "istartswith", "endswith", "iexact", "in", "range"),
    *("gt", "gte", "lt", "lte", "year", "month", "week_day", "date", "isnull", "exact__regex", "nonsense"),
)
EXPORTS = ("/admin/audit/attempt/export.csv", "/admin/audit/attempt/export.jsonl")


def lists():
    """The address of the list of every model that the admin shows, now and in future."""
    return [
        (model, reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        for model in admin.site._registry
    ]


@pytest.fixture
def something(databases):
    """A row in every list, whose texts keep a bad regular expression busy for ever."""
    attempt = make_attempt(Kind.ACCEPTED, Kind.RECORDED, cids=("a" * 60 + "!", "b2"))
    make_job(job_id=attempt.attempt_id, batch_id=uuid.uuid4(), cids=("a" * 60 + "!", "b2"))
    refuse(user_id="a" * 60 + "!", message="a" * 60 + "!")
    make_batch(user_id="oscar")
    Group.objects.create(name="a" * 60 + "!")
    return attempt


def paths_of(model):
    """The fields of a model, and of those that it is related to, as lookups spell them."""
    for field in model._meta.get_fields():
        yield field.name
        if field.is_relation and field.related_model:
            yield from (f"{field.name}__{other.name}" for other in field.related_model._meta.get_fields())


def own_links_of(model, model_admin):
    """What the filters and links of a list may spell like a lookup."""
    if isinstance(model_admin, ExactSearchAdmin):
        return set(behind_parameters(model))
    return {"groups__isnull", "groups__id__exact"} if model is User else set()


def test_no_list_takes_a_lookup_that_none_of_its_links_has(adam, something):
    names = [
        (model_admin, f"{path}__{lookup}")
        for model, model_admin in admin.site._registry.items()
        for path in paths_of(model)
        for lookup in LOOKUPS
        if f"{path}__{lookup}" not in own_links_of(model, model_admin)
    ]
    assert len(names) > 3000
    with done_within(GUARD_S):
        for model_admin, name in names:
            request = RequestFactory().get("/", {name: ENDLESS})
            request.user = adam
            with pytest.raises(AddressError, match="no filter called"):
                model_admin.get_changelist_instance(request)


NOT_TAKEN = (
    *(f"{name}={ENDLESS}" for name in ("list_digest__regex", "user_id__iregex", "cid__regex", "username__regex")),
    *("customers__cid__regex=a", "jobcustomer__cid__icontains=a", "user__password__startswith=pbkdf2"),
    *("password__startswith=pbkdf2", "password=x", "password__exact=x", "id__in=" + "1," * 10_000, "pk=1"),
    *("created_at__year=2026", "created_at__gte=2026-01-01", "_to_field=password", "_to_field=id", "_popup=1"),
    *("_facets=True", "list_max_show_all=1000000", "list_per_page=1000000", "time__regex=1", "x=1", "q__regex=x"),
    *("q=" + "x" * 5000, "q=a&q=b", "o=" + "1." * 5000, "o=1&o=2", "o=x", "o=password", "p=1&p=2", "%00=1", "=1"),
)


def test_every_list_says_calmly_what_it_does_not_take(adam, something):
    client, addresses = signed_in(adam), [*(address for _, address in lists()), *EXPORTS]
    with done_within(2 * GUARD_S):
        for query, address in itertools.product(NOT_TAKEN, addresses):
            answer = client.get(f"{address}?{query}")
            assert answer.status_code == 400, (address, query)
            way_back = address.rpartition("export")[0] or address
            assert f'href="{way_back}"' in answer.content.decode()
            assert "pbkdf2_" not in answer.content.decode()


def test_every_list_takes_odd_places_and_orders_without_harm(adam, something):
    client = signed_in(adam)
    for query in ("p=99999999", "p=-1", "p=" + "9" * 200, "p=x", "all=", "e=1", "o=99.-98", "o=", "q="):
        for _, address in lists():
            assert client.get(f"{address}?{query}", follow=True).status_code == 200, (address, query)


def test_a_search_for_many_words_is_refused_before_each_of_them_is_looked_for(adam, something):
    client = signed_in(adam)
    for words in ("a " * 140, "' " * 140, '"' * 290, 'a" ' * 90):
        for model, address in lists():
            answer = client.get(address, {"q": words})
            assert answer.status_code in ((400,) if model in (User, Group) and len(words.split()) > 10 else (200, 400))


def test_values_that_no_row_can_have_lead_back_to_the_list(adam, something):
    client = signed_in(adam)
    for query in ("job_id=x", "action_code__exact=x", "batch_id=(a%2B)%2B%24"):
        address = reverse("admin:jobs_job_changelist")
        assert client.get(f"{address}?{query}")["Location"] == f"{address}?e=1"
        again = client.get(f"{address}?{query}&e=1")
        assert again.status_code == 400
        assert "asks for something that does not exist" in text_of(again)


def test_nobody_learns_of_passwords_from_a_list(adam, audrey, olivia):
    olivia.user_permissions.add(*Permission.objects.filter(codename="view_user"))
    olivia.is_staff = True
    olivia.save()
    for user in (adam, olivia):
        client = signed_in(user)
        for letters in ("pbkdf2", "argon", "md5", ""):
            for address in ("/admin/auth/user/", "/admin/auth/group/"):
                for name in ("password__startswith", "user__password__startswith", "user__password", "password"):
                    answer = client.get(address, {name: letters})
                    assert answer.status_code in (400, 403)
                    assert "oscar" not in text_of(answer)


def test_other_pages_of_the_admin_take_no_fields_of_other_rows(adam, something):
    client = signed_in(adam)
    user, job = User.objects.get(username="adam"), Job.objects.get()
    with done_within(GUARD_S):
        for query in (
            "_to_field=password",
            "_to_field=username__regex",
            "_to_field=list_digest",
            "_to_field=first_name",
        ):
            for address in (f"/admin/auth/user/{user.pk}/change/", f"/admin/jobs/job/{job.pk}/change/"):
                assert client.get(f"{address}?{query}").status_code == 404
        kept = "_changelist_filters=" + "password__regex%3D(a%2B)%2B%24%26" * 500
        for page in (f"user/{user.pk}/change/", "user/add/", "group/add/"):
            assert client.get(f"/admin/auth/{page}?{kept}").status_code == 200
        for term in ("a", "a " * 5000, ENDLESS):
            model = {"app_label": "auth", "model_name": "user", "field_name": "groups", "term": term}
            assert client.get("/admin/autocomplete/", model).status_code in (200, 400, 403, 404)


def links_of(answer, path):
    """The addresses with parameters that a page of the admin leads to."""
    hrefs = {html.unescape(href) for href in re.findall('href="([^"]*[?][^"]*)"', answer.content.decode())}
    return {f"{path}{href}" if href.startswith("?") else href for href in hrefs if href.startswith(("?", "/admin/"))}


def sort_of(address):
    """What links have in common that differ in values only."""
    return urlsplit(address).path, *sorted(parse_qs(urlsplit(address).query, keep_blank_values=True))


def test_the_links_that_pages_render_lead_somewhere(adam, something, monkeypatch):
    monkeypatch.setattr("audit.admin.LISTS_PER_MINUTE", 1000)
    client, waiting, seen = signed_in(adam), [address for _, address in lists()], set()
    waiting += [f"/admin/jobs/job/{Job.objects.get().pk}/change/", f"/admin/audit/attempt/{something.pk}/change/"]
    waiting += [f"/admin/audit/auditentry/{AuditEntry.objects.first().pk}/change/", "/admin/"]
    waiting += ["/admin/jobs/job/?user_id=olivia&action_code__exact=2&legacy__exact=0&o=1&since=2020-01-01"]
    while waiting:
        address = waiting.pop()
        if sort_of(address) in seen or len(sort_of(address)) > 2 and seen:
            continue
        seen.add(sort_of(address))
        answer = client.get(address)
        assert answer.status_code == 200, address
        if not answer.streaming:
            waiting += sorted(links_of(answer, urlsplit(address).path))
    for needed in (("/admin/jobs/job/", "job_id"), ("/admin/audit/auditentry/", "attempt_id")):
        assert needed in seen
