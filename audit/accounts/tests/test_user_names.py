"""The names of new accounts: of one script, none twice in two spellings, none of the product's own."""

import socket
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from audit.accounts.tests.test_changes import NEW_PASSWORD, form_of, page_of
from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import text_of

GOOD = ["nadia", "Nadia.Berg", "nadia+ops@acme.example", "n-1_2", "007", "a" * 150]
BAD = [
    *("ölivia", "оlivia", "olіvia", "オリビア", "ολιβια", "na\u0301dia", "nadia\u200b", "nadia\u202e", "٣"),
    *("na dia", "nadia\n", "na/dia", "na:dia", "unknown:0123456789abcdef", "<nadia>", "nadia,x", "-", "@.+", "a" * 151),
]
TAKEN = ["olivia", "Olivia", "OLIVIA", "oLiViA"]
RESERVED = ["system", "System", "nobody", "unknown", "anonymous", f"root@{socket.gethostname()}"]


def add(client, name):
    form = {"username": name, "usable_password": "true", "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    return client.post("/admin/auth/user/add/", form)


def create(monkeypatch, name):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", NEW_PASSWORD)
    call_command("createsuperuser", "--noinput", "--username", name, "--email", "", stdout=StringIO())


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_taken(adam, monkeypatch, name):
    assert add(signed_in(adam), name).status_code == 302
    User.objects.get(username=name).delete()
    create(monkeypatch, name)
    assert User.objects.get(username=name).is_superuser


@pytest.mark.parametrize("name", BAD + TAKEN + RESERVED)
def test_a_name_that_could_be_mistaken_is_refused_in_the_admin_and_by_the_command(adam, olivia, monkeypatch, name):
    before = AuditEntry.objects.count()
    page = add(signed_in(adam), name)
    stored = set(User.objects.values_list("username", flat=True))
    assert stored <= {"adam", "olivia"} | {name.strip()}  # blanks around a name are no part of it
    if stored == {"adam", "olivia"}:
        assert page.status_code == 200
        assert page.context["adminform"].form.errors["username"]
        assert AuditEntry.objects.count() == before
    User.objects.exclude(username__in=("adam", "olivia")).delete()
    with pytest.raises(CommandError):
        create(monkeypatch, name)
    assert set(User.objects.values_list("username", flat=True)) == {"adam", "olivia"}


def test_the_refusal_says_what_is_right(adam, olivia):
    client = signed_in(adam)
    assert "letters from A to Z without accents" in text_of(add(client, "ölivia"))
    assert "already exists" in text_of(add(client, "OLIVIA"))
    assert "The product itself uses this name." in text_of(add(client, "system"))


@pytest.mark.parametrize("name", ["jürgen", "Ольга", "olgа", "system", "ADAM"])
def test_an_account_that_has_such_a_name_goes_on_to_work(adam, name):
    user = User.objects.create_user(name, password=PASSWORD)
    assert Client().post("/login/", {"username": name, "password": PASSWORD}).status_code == 302
    assert AuditEntry.objects.filter(kind=Kind.SIGNED_IN, user_id=name).exists()
    admin, path = signed_in(adam), page_of(user)
    assert admin.post(path, form_of(admin, path, first_name="J.", is_active=None)).status_code == 302
    user.refresh_from_db()
    assert (user.username, user.first_name, user.is_active) == (name, "J.", False)
