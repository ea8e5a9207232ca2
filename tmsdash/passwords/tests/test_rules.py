"""Which new passwords are taken: long ones of any kind, but nothing that everybody here would guess."""

import secrets

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import CommonPasswordValidator, validate_password
from django.core.exceptions import ValidationError

from tmsdash.tests.fixtures import PASSWORD, signed_in
from tmsdash.tests.tools import text_of

NAME = "olivia"


@pytest.fixture(autouse=True)
def site(settings):
    settings.ALLOWED_HOSTS = ["dash.acme-widgets.example", "testserver", "localhost"]
    settings.TMS_CLUSTERS = {"evian3": "https://tms.evian.example", "brooke": "http://127.0.0.1:2"}


def codes_of(password, name=NAME):
    try:
        validate_password(password, User(username=name, email="oli.berg@acme.example", last_name="Bergmann"))
    except ValidationError as error:
        return {one.code for one in error.error_list}
    return set()


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "483920175563",  # digits only
        "tms 483920175563",
        "zebra umbrella seventeen",
        "dashboard zebra umbrella",  # the site's word is not all there is
        "grünes Pferd läuft",
        "пароль-от-всего-моего",
        "   a zebra, at 7   ",
        "😀🦓🌂🚲🎺🧀🍋🪁🧲🪐🦔🏮",
        "x7!Kq02#mzPw",
        *(secrets.token_urlsafe(12) for _ in range(20)),  # as the demo's
        "".join(chr(33 + number % 90) for number in range(0, 1024 * 7, 7)),
    ],
)
def test_a_long_password_of_any_kind_is_taken(password):
    assert codes_of(password) == set()


@pytest.mark.parametrize("password", ["", "short", "elevenchars", "x7!Kq02#mzP", "12345678"])
def test_less_than_twelve_characters_are_refused(password):
    assert "password_too_short" in codes_of(password)


@pytest.mark.parametrize(
    "password",
    [
        *(
            "TmsDashboard",
            "tms-dashboard-2026",
            "TMS Dashboard 2026!",
            "Dashboard12345678",
            "!!dashboard!!",
            "tmstmstmstms1",
        ),
        *("evian3-brooke", "Brooke20261128", "Evian3Evian3Evian3!", "evian3-tms-2026", "x-brooke-brooke-x"),
        *("dash.acme-widgets.example", "AcmeWidgets2026", "Acme!Acme!Acme!1", "widgets_widgets_1", "localhost1234"),
        *(
            "PE-Enable-2026!",
            "Set Action 2026",
            "TransBegin2026",
            "operator-operator",
            "Administrator1!",
            "audit-audit-2026",
        ),
        *("T0k3nT0k3nT0k3n", "Tm5D4shb0ard!", "d@shbo@rd2026", "P@ssw0rd!P@ssw0rd!", "the password is secret"),
        *("ＴＭＳ－ｄａｓｈｂｏａｒｄ", "TmsDashboardPassword!", "welcome-to-tms"),
    ],
)
def test_a_word_of_the_site_with_decoration_is_refused(password):
    assert "password_guessable" in codes_of(password)


@pytest.mark.parametrize("word", ["password", "dragon", "sunshine", "football", "princess", "iloveyou", "michael"])
@pytest.mark.parametrize("shape", ["{}12345678", "2026{}2026!!", "!!!!!!{}!!!!!!", "{}........", "....{}1234"])
def test_a_common_word_with_decoration_is_refused(word, shape):
    assert codes_of(shape.format(word)) & {"password_guessable", "password_too_common"}


@pytest.mark.parametrize(
    "password",
    [
        *("aaaaaaaaaaaa", "121212121212", "passwordpassword", "abcabcabcabc", "correctcorrect", "            "),
        *("123456789012", "098765432109", "abcdefghijkl", "zyxwvutsrqpo", "qwertyuiopas", "1qaz2wsx3edc4rfv"),
        *("qwerty-uiop-asdf", "1234 5678 9012"),
    ],
)
def test_a_run_or_a_repetition_is_refused(password):
    assert codes_of(password) & {"password_guessable", "password_too_common"}


def test_every_common_password_of_djangos_list_is_refused():
    long_enough = [password for password in CommonPasswordValidator().passwords if len(password) >= 12]
    assert len(long_enough) > 100
    assert [password for password in long_enough if not codes_of(password.title())] == []


@pytest.mark.parametrize("password", ["olivia-goes-shopping", "xxOLIVIAyy-zebra-1", "my name: Olivia", "Bergmann2026!"])
def test_what_holds_the_name_or_is_like_it_is_refused(password):
    assert codes_of(password) & {"password_holds_name", "password_too_similar", "password_guessable"}


def test_a_name_of_two_letters_may_be_part_of_a_password():
    assert codes_of("alabaster zebra", name="al") == set()


def test_what_is_too_long_is_refused_at_once_and_never_hashed(olivia, monkeypatch):
    hashed = []
    encode = MD5PasswordHasher.encode
    monkeypatch.setattr(MD5PasswordHasher, "encode", lambda *args: hashed.append(len(args[1])) or encode(*args))
    client = signed_in(olivia)
    for long in ("x1!y" * 300, "ab cd" * (400 << 10)):
        assert codes_of(long) == {"password_too_long"}
        form = {"old_password": PASSWORD, "new_password1": long, "new_password2": long}
        page = client.post("/password/", form)
        assert "It may have at most 1,024 characters." in text_of(page)
        form = {"old_password": long, "new_password1": "zebra umbrella", "new_password2": "zebra umbrella"}
        assert "Your password was not changed" in text_of(client.post("/password/", form))
    assert set(hashed) == {len(PASSWORD)}


def test_the_page_says_the_rules_in_plain_words(olivia):
    page = text_of(signed_in(olivia).get("/password/"))
    for words in ("at least 12 characters", "as long as you like", "may be pasted", "may not contain your user name"):
        assert words in page


def test_a_password_from_before_the_rules_goes_on_working(olivia, client):
    olivia.set_password("olivia1")
    olivia.save()
    assert client.post("/login/", {"username": "olivia", "password": "olivia1"}).status_code == 302
    form = {"old_password": "olivia1", "new_password1": "zebra umbrella", "new_password2": "zebra umbrella"}
    assert "Your password was changed." in text_of(client.post("/password/", form, follow=True))
