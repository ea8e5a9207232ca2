"""Single sign-on with a provider that runs on loopback: who gets in, as whom, and who does not."""

import json
import logging
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import clear_script_prefix, set_script_prefix

from audit.accounts.oidc import provider as client_side
from audit.choices import Kind
from audit.models import AuditEntry
from tmsdash.models import Session
from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.openid_provider import CLIENT_ID, CLIENT_SECRET, OTHER_KEY, OpenIdProvider
from tmsdash.tests.tools import stored_bytes, table_missing, text_of
from tmsdash.web.cookies import cookie_name


@pytest.fixture
def provider(settings, databases):
    running = OpenIdProvider()
    settings.OIDC_ISSUER_URL, settings.OIDC_NAME = running.issuer, "Acme SSO"
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
    settings.OIDC_GROUPS = [("tms-ops", "Operators"), ("tms-audit", "Auditors"), ("tms-audit", "staff")]
    client_side.forget()
    yield running
    running.stop()
    client_side.forget()


def come_back(provider, browser, address="/oidc/"):
    """Go to the provider, sign in there, and come back; return the answer."""
    begun = browser.get(address)
    assert begun.status_code == 302, text_of(begun)
    return browser.get(provider.sign_in(begun["Location"]).removeprefix("http://testserver"))


def events():
    """What the audit has of sign-ins and accounts, the latest last."""
    kinds = (Kind.SIGNED_IN, Kind.SIGN_IN_FAILED, Kind.SIGNED_OUT, Kind.SETTING_CHANGED)
    entries = AuditEntry.objects.filter(kind__in=kinds).order_by("sequence")
    return [(entry.kind, entry.user_id, json.loads(entry.body)) for entry in entries]


def groups_of(name):
    return {group.name for group in User.objects.get(username=name).groups.all()}


def test_somebody_new_gets_an_account_with_the_groups_of_the_claim(provider, caplog):
    caplog.set_level(logging.DEBUG)
    provider.person |= {"email": "nadia@acme.example", "given_name": "Nadia", "family_name": "Berg"}
    browser = Client()
    answer = come_back(provider, browser, "/oidc/?next=/jobs/")
    assert (answer.status_code, answer["Location"]) == (302, "/jobs/")
    assert browser.get("/jobs/").status_code == 200
    user = User.objects.get(username="nadia")
    assert (user.email, user.first_name, user.last_name) == ("nadia@acme.example", "Nadia", "Berg")
    assert not user.has_usable_password()
    assert (groups_of("nadia"), user.is_staff) == ({"Operators"}, False)
    added, entered = events()
    assert (added[:2], added[2]["change"], added[2]["by"]) == (("SETTING_CHANGED", "nadia"), "added", "oidc")
    assert (entered[:2], entered[2]["source"]) == (("SIGNED_IN", "nadia"), "oidc")
    assert Session.objects.get().account_id == user.pk
    for secret in (b"access-granted", CLIENT_SECRET.encode()):
        assert secret not in stored_bytes()
        assert secret.decode() not in caplog.text


def test_the_same_subject_is_the_same_account_with_the_groups_of_now(provider):
    come_back(provider, Client())
    User.objects.get(username="nadia").groups.add(Group.objects.create(name="Night shift"))
    User.objects.create_user("another-name")
    provider.person |= {"preferred_username": "another-name", "groups": ["tms-ops", "tms-audit", "other"]}
    come_back(provider, Client())
    user = User.objects.get(username="nadia")
    assert (groups_of("nadia"), user.is_staff, user.is_superuser) == ({"Auditors", "Night shift"}, True, False)
    kind, name, body = events()[-2]
    assert (kind, name, body["before"]["groups"]) == ("SETTING_CHANGED", "nadia", ["Night shift", "Operators"])
    provider.person["groups"] = []
    answer = come_back(provider, Client())
    assert "you are in none of the groups that may use this site" in text_of(answer)
    user = User.objects.get(username="nadia")
    assert (answer.status_code, groups_of("nadia"), user.is_staff) == (403, {"Night shift"}, False)


def test_an_account_of_that_name_is_taken_only_if_an_administrator_says_so(provider, olivia, adam):
    provider.person["preferred_username"] = "olivia"
    answer = come_back(provider, Client())
    assert "Ask an administrator to let it sign in this way." in text_of(answer)
    assert not SocialAccount.objects.exists()
    assert events()[-1][0] == Kind.SIGN_IN_FAILED
    admin, chosen = signed_in(adam), {"action": "link_chosen", "_selected_action": [olivia.pk]}
    admin.post("/admin/auth/user/", chosen)
    assert events()[-1][2]["change"] == "single sign-on allowed"
    assert "with Acme SSO from its next sign-in on" in text_of(admin.get(f"/admin/auth/user/{olivia.pk}/change/"))
    for name in ("Olivia", "olivia ", " olivia", "olivia\u200b", "ｏlivia", "оlivia"):
        provider.person |= {"sub": "of-somebody-else", "preferred_username": name}
        assert come_back(provider, Client()).status_code == 403, name
    provider.person |= {"sub": "olivias", "preferred_username": "olivia"}
    browser = Client()
    assert come_back(provider, browser).status_code == 302
    provider.person["sub"] = "of-somebody-else"
    assert come_back(provider, Client()).status_code == 403
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
    admin.post("/admin/auth/user/", chosen | {"action": "unlink_chosen"})
    assert not SocialAccount.objects.exists()
    assert browser.get("/jobs/")["Location"].startswith("/login/")


def test_whoever_may_not_touch_an_account_links_none(provider, adam, oscar):
    oscar.is_staff = True
    oscar.save()
    oscar.user_permissions.set(Permission.objects.filter(codename__in=("change_user", "view_user")))
    answer = signed_in(oscar).post("/admin/auth/user/", {"action": "link_chosen", "_selected_action": [adam.pk]})
    assert (answer.status_code, SocialAccount.objects.count()) == (403, 0)


def test_an_account_that_is_switched_off_stays_outside(provider):
    come_back(provider, Client())
    User.objects.update(is_active=False)
    answer = come_back(provider, Client())
    assert (answer.status_code, "Your account is switched off here." in text_of(answer)) == (403, True)
    assert events()[-1][:2] == ("SIGN_IN_FAILED", "nadia")


WRONG = {
    "nonce": ({"nonce": "of another sign-in"}, "it was made for another sign-in"),
    "no nonce": ({"nonce": None}, "a claim is missing"),
    "audience": ({"aud": "another-site"}, "it is for another site"),
    "authorized party": ({"aud": [CLIENT_ID, "other"], "azp": "other"}, "it is for another site"),
    "issuer": ({"iss": "https://elsewhere.example"}, "it is another provider's"),
    "expired": ({"exp": 1_600_000_000}, "its time is over"),
    "from the future": ({"iat": 4_000_000_000}, "its time is yet to come"),
    "no subject": ({"sub": ""}, "it names nobody"),
}


@pytest.mark.pages
@pytest.mark.parametrize("what", WRONG)
def test_an_id_token_that_proves_nothing_is_refused(provider, what):
    provider.wrong, why = WRONG[what]
    answer = come_back(provider, Client())
    assert (answer.status_code, f"does not count, because {why}." in text_of(answer)) == (403, True)
    assert not User.objects.exists()
    assert events()[-1][2]["because"] == why


@pytest.mark.pages
@pytest.mark.parametrize(
    ("key", "algorithm", "why"),
    [
        (OTHER_KEY, "RS256", "its signature is wrong"),
        (CLIENT_SECRET * 2, "HS256", "its ID token is not one"),
        (None, "none", "its ID token is not one"),
    ],
)
def test_a_signature_that_is_not_the_providers_is_refused(provider, key, algorithm, why):
    provider.key, provider.algorithm = key, algorithm
    answer = come_back(provider, Client())
    assert (answer.status_code, f"does not count, because {why}." in text_of(answer)) == (403, True)
    assert not User.objects.exists()


def test_an_answer_counts_once_and_only_in_the_browser_that_asked(provider):
    browser = Client()
    back = provider.sign_in(browser.get("/oidc/")["Location"]).removeprefix("http://testserver")
    for other, address in ((Client(), back), (browser, back.replace("state=", "state=x"))):
        answer = other.get(address)
        assert (answer.status_code, "Sign in once more." in text_of(answer)) == (400, True)
        assert parse_qs(urlsplit(back).query)["code"][0] not in answer.content.decode()
    assert not User.objects.exists()
    browser = Client()
    back = provider.sign_in(browser.get("/oidc/")["Location"]).removeprefix("http://testserver")
    kept = browser.cookies[cookie_name("oidc")].value
    assert browser.get(back).status_code == 302
    again = Client()
    again.cookies[cookie_name("oidc")] = kept  # the provider takes no code twice
    assert "the provider did not accept the code" in text_of(again.get(back))


def test_below_a_path_the_way_back_is_below_it_too(provider, settings):
    settings.BASE_PATH = settings.FORCE_SCRIPT_NAME = "/tms"
    set_script_prefix("/tms/")
    try:
        browser = Client()
        back = provider.sign_in(browser.get("/oidc/?next=/tms/jobs/")["Location"])
        assert back.startswith("http://testserver/tms/oidc/callback/?")
        answer = browser.get(back.removeprefix("http://testserver/tms"))
        assert (answer.status_code, answer["Location"]) == (302, "/tms/jobs/")
    finally:
        clear_script_prefix()


def test_what_was_cancelled_there_is_said_and_nothing_is_stored(provider):
    browser = Client()
    state = parse_qs(urlsplit(browser.get("/oidc/")["Location"]).query)["state"][0]
    assert not Session.objects.exists()
    answer = browser.get(f"/oidc/callback/?error=access_denied&state={state}")
    assert "Signing in with Acme SSO was cancelled." in text_of(answer)
    assert not Session.objects.exists()


def test_with_the_provider_gone_local_accounts_go_on(provider, olivia, settings):
    browser = Client()
    back = provider.sign_in(browser.get("/oidc/")["Location"]).removeprefix("http://testserver")
    provider.stop()
    for answer in (browser.get(back), _gone_from_the_start()):
        assert (answer.status_code, "Acme SSO cannot be reached just now" in text_of(answer)) == (503, True)
    assert "Sign in with Acme SSO" in text_of(Client().get("/login/"))
    assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302


def _gone_from_the_start():
    client_side.forget()
    return Client().get("/oidc/")


@pytest.mark.pages
@pytest.mark.parametrize("place", ["openid-configuration", "token", "keys"])
@pytest.mark.parametrize("kind", ["endless", "slow", "deep"])
def test_no_answer_of_the_provider_is_too_much_for_us(provider, monkeypatch, place, kind):
    monkeypatch.setattr(client_side, "WHOLE_S", 0.1 if kind == "slow" else 60)
    over = threading.Event()
    provider.pieces[place] = {
        "endless": iter(lambda: b" " * (1 << 16), b""),
        "slow": iter(lambda: b"" if over.wait(0.02) else b" ", b""),
        "deep": [b"[" * 100_000],
    }[kind]
    browser = Client()
    answer = browser.get("/oidc/")
    if place != "openid-configuration":
        answer = browser.get(provider.sign_in(answer["Location"]).removeprefix("http://testserver"))
    over.set()
    assert (answer.status_code, "Acme SSO cannot be reached just now" in text_of(answer)) == (503, True)


def test_few_threads_wait_for_the_provider_and_all_others_go_on(provider, olivia, monkeypatch):
    monkeypatch.setattr(client_side, "_places", threading.BoundedSemaphore(1))
    monkeypatch.setattr(client_side, "PLACE_WAIT_S", 0.01)
    begun = Client()
    back = provider.sign_in(begun.get("/oidc/")["Location"]).removeprefix("http://testserver")
    with client_side._place():
        assert begun.get(back).status_code == 503
        assert _gone_from_the_start().status_code == 503
        assert Client().post("/login/", {"username": "olivia", "password": PASSWORD}).status_code == 302
    assert come_back(provider, begun).status_code == 302


@pytest.mark.parametrize(
    "config",
    [
        {"issuer": "https://elsewhere.example"},
        {"token_endpoint": "http://10.0.0.1/"},
        {"userinfo_endpoint": "http://10.0.0.1/"},
        {"authorization_endpoint": "https://[::1"},
        {"scopes_supported": 1},
    ],
)
def test_a_provider_that_is_another_or_leads_elsewhere_in_clear_is_not_used(provider, config):
    provider.config = config
    assert Client().get("/oidc/").status_code == 503


@pytest.mark.pages
def test_what_is_of_another_kind_than_it_should_be_counts_as_missing(provider):
    provider.config = {
        "scopes_supported": None,
        "token_endpoint_auth_methods_supported": None,
        "userinfo_endpoint": None,
    }
    provider.config["end_session_endpoint"] = "http://[::1"
    provider.person |= {"email": 1, "given_name": ["Nadia"], "family_name": {"a": "b"}, "groups": "tms-ops"}
    browser = Client()
    assert come_back(provider, browser).status_code == 302
    user = User.objects.get(username="nadia")
    assert (user.email, user.first_name, user.last_name, groups_of("nadia")) == ("", "", "", {"Operators"})
    browser.post("/logout/")
    assert "Sign out at Acme SSO" not in text_of(browser.get("/oidc/signed-out/"))


def test_claims_that_only_userinfo_has_are_taken_from_there(provider, settings):
    settings.OIDC_GROUPS_CLAIM = "realm_access.roles"
    provider.person |= {"realm_access": {"roles": ["tms-ops"]}, "groups": []}
    provider.in_userinfo = ("preferred_username", "realm_access")
    assert come_back(provider, Client()).status_code == 302
    assert groups_of("nadia") == {"Operators"}


def test_signing_out_leads_to_where_it_ends_at_the_provider_too(provider):
    browser = Client()
    come_back(provider, browser)
    answer = browser.post("/logout/")
    assert (answer["Location"], events()[-1][0], events()[-1][2]["source"]) == (
        "/oidc/signed-out/",
        "SIGNED_OUT",
        "oidc",
    )
    assert not Session.objects.exists()
    page = browser.get("/oidc/signed-out/")
    assert f"{provider.issuer}/logout?client_id={CLIENT_ID}&amp;post_logout_redirect_uri=" in page.content.decode()
    provider.config = {"end_session_endpoint": None}
    client_side.forget()
    assert "Sign out at Acme SSO" not in text_of(browser.get("/oidc/signed-out/"))


def test_without_the_audit_nobody_new_gets_in(provider):
    with table_missing("audit", "audit_auditentry"):
        answer = come_back(provider, Client())
    assert (answer.status_code, User.objects.count()) == (503, 0)
    assert "Nothing was changed." in text_of(answer)


def test_who_has_no_password_here_needs_none_to_end_sessions(provider):
    browsers = [Client(), Client()]
    for browser in browsers:
        come_back(provider, browser)
    assert "you sign in elsewhere, and change your password there" in text_of(browsers[0].get("/password/"))
    assert 'type="password"' not in browsers[0].get("/sessions/").content.decode()
    assert browsers[0].post("/sessions/", {"end": "others"}).status_code == 302
    assert [browser.get("/jobs/").status_code for browser in browsers] == [200, 302]


def test_names_that_cannot_be_one_here_are_refused(provider):
    for name in ("nädia", "system", None, "a\0b", 7):
        provider.person["preferred_username"] = name
        answer = come_back(provider, Client())
        assert (answer.status_code, "Your name there cannot be one here." in text_of(answer)) == (403, True), name


def test_one_address_begins_only_so_many_sign_ins_a_minute(provider):
    browsers = [Client() for _ in range(31)]
    begun = [browser.get("/oidc/") for browser in browsers]
    assert [answer.status_code for answer in begun] == [302] * 30 + [429]
    assert len(provider.requests) == 1  # where its endpoints are is known
    back = provider.sign_in(begun[29]["Location"]).removeprefix("http://testserver")
    assert browsers[29].get(back).status_code == 302  # and each of them may be ended


def test_without_the_settings_there_is_nothing_of_it(databases):
    for path in ("/oidc/", "/oidc/callback/?code=x&state=y", "/oidc/signed-out/"):
        assert Client().get(path).status_code == 404
    assert "/oidc/" not in Client().get("/login/").content.decode()
