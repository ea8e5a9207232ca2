"""Light or dark, and the zone of times: chosen in the foot of a page or on a page of its own, kept by the browser."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from tmsdash.tests.fixtures import signed_in
from tmsdash.tests.tools import table_missing, text_of
from tmsdash.web import middleware

pytestmark = pytest.mark.pages


def choose(client, **fields):
    return client.post("/display/", fields)


def theme_on(answer):
    """What the page's own element says of its colours."""
    return re.findall(r'<html[^>]* data-theme="(\w+)"', answer.content.decode())


def test_a_choice_is_kept_for_a_year_and_is_not_for_scripts(databases):
    answer = choose(Client(), theme="dark", time_zone="Europe/Berlin")
    assert set(answer.cookies) == {"theme", "time_zone"}
    for cookie in answer.cookies.values():
        assert (cookie["samesite"], cookie["httponly"], cookie["path"]) == ("Lax", True, "/")
        assert (cookie["max-age"], cookie["secure"]) == (365 * 86_400, "")


def test_over_https_the_cookies_are_those_of_this_host_alone(databases, settings):
    settings.SESSION_COOKIE_NAME, settings.SESSION_COOKIE_SECURE = "__Host-sessionid.tms", True
    [cookie] = choose(Client(), theme="dark").cookies.values()
    assert (cookie.key, cookie["secure"], cookie["path"], cookie["domain"]) == ("__Host-theme.tms", True, "/", "")


def test_what_is_chosen_on_the_page_to_sign_in_holds_there_and_on_every_page_and_error(olivia):
    client = Client(raise_request_exception=False)
    assert theme_on(client.get("/login/")) == []
    choose(client, theme="dark")
    assert theme_on(client.get("/login/")) == ["dark"]
    client.force_login(olivia)
    for path in ("/jobs/", "/nothing/", "/display/"):
        assert theme_on(client.get(path)) == ["dark"], path
    with table_missing("jobs", "jobs_job"):
        broken = client.get("/jobs/")
        assert (broken.status_code // 100, theme_on(broken)) == (5, ["dark"])
    choose(client, theme="system")
    assert theme_on(client.get("/jobs/")) == []


def test_what_the_form_does_not_name_stays(databases):
    client = Client()
    choose(client, theme="dark", time_zone="Asia/Tokyo", shortcuts="off")
    assert set(choose(client, time_zone="UTC").cookies) == {"time_zone"}
    page = client.get("/display/").content.decode()
    for chosen in ("dark", "UTC", "off"):
        assert f'<option value="{chosen}" selected>' in page


@pytest.mark.parametrize("where", ["/jobs/?page=2", "/activity/?outcome=unknown#top"])
def test_one_comes_back_to_where_one_was(databases, where):
    assert choose(Client(), theme="dark", next=where)["Location"] == where


HERE = "http://testserver"


@pytest.mark.parametrize(
    ("referrer", "back"),
    [
        (f"{HERE}/jobs/?page=2#top", "/jobs/?page=2"),
        (f"{HERE}/display/?next=/jobs/", "/"),
        (f"{HERE}//evil.example/", "/"),
        ("https://evil.example/jobs/", "/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
def test_the_foot_of_a_page_leads_back_to_that_page(databases, referrer, back):
    headers = {"Referer": referrer} if referrer else {}
    assert Client().post("/display/", {"theme": "dark"}, headers=headers)["Location"] == back
    assert f'href="{back}">Back' in Client().get("/display/", headers=headers).content.decode()


@pytest.mark.parametrize(
    "where",
    ["", "//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "jobs/", "/" * 2001],
)
def test_nobody_is_led_to_another_site(databases, where):
    assert choose(Client(), theme="dark", next=where)["Location"] == "/"
    assert 'href="/">Back' in Client().get("/display/", {"next": where}).content.decode()


@pytest.mark.parametrize(("field", "value"), [("theme", "neon"), ("time_zone", "Mars/Olympus"), ("shortcuts", "2")])
def test_what_there_is_not_is_not_kept(databases, field, value):
    answer = choose(Client(), **{field: value})
    assert (answer.status_code, set(answer.cookies) & {field}) == (400, set())
    assert "Not kept" in text_of(answer)


@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "x" * 4000, "localtime", "Ünder"]
)
def test_times_are_in_the_chosen_zone_and_in_utc_if_the_cookie_names_none(olivia, monkeypatch, name):
    zones = []
    monkeypatch.setattr(middleware.RequestBodyMiddleware, "__call__", _noting(zones))
    client = signed_in(olivia)
    client.cookies["time_zone"] = name
    assert client.get("/jobs/").status_code == 200
    assert client.get("/api/jobs/mine").status_code == 200
    assert zones == [name if name == "Europe/Berlin" else "UTC", "UTC"]
    assert timezone.get_current_timezone_name() == "UTC"


def test_the_foot_of_every_page_names_the_zone_of_its_times(databases):
    client = Client()
    client.cookies["time_zone"] = "Asia/Tokyo"
    for answer in (client.get("/help/"), client.get("/nothing/"), client.post("/help/"), client.put("/help/")):
        assert ' data-zone="JST"' in answer.content.decode(), answer.status_code


def _noting(zones):
    def call(self, request):
        zones.append(timezone.get_current_timezone_name())
        return self.get_response(request)

    return call


def test_a_page_from_before_the_sign_in_offers_the_choice_again(olivia):
    client = Client(enforce_csrf_checks=True)
    client.force_login(olivia)
    answer = client.post("/display/", {"theme": "dark"}, headers={"Origin": "http://testserver"})
    assert (answer.status_code, answer["Location"], "theme" in answer.cookies) == (302, "/display/", False)
