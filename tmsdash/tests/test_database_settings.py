"""Addresses of databases and keys in the environment: each is taken as it is meant, and no secret is shown."""

from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tmsdash.db.postgresql import ENGINE
from tmsdash.tests.fresh_settings import DATABASE_URLS


@pytest.mark.parametrize(
    ("alias", "name"), [("default", "DATABASE_URL"), ("jobs", "JOBS_DATABASE_URL"), ("audit", "AUDIT_DATABASE_URL")]
)
def test_each_database_has_a_variable_of_its_own(settings_of, tmp_path, alias, name):
    found = settings_of(**{name: "postgres://u:p%40ss@db.example:5433/x?sslmode=require"})["DATABASES"]
    named = found.pop(alias)
    assert named["ENGINE"] == ENGINE
    assert [named[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")] == [
        *("x", "u", "p@ss", "db.example", 5433),
    ]
    assert named["OPTIONS"]["sslmode"] == "require"
    files = {"default": "app.db", "jobs": "jobs.db", "audit": "audit.db"}
    assert {alias: described["NAME"] for alias, described in found.items()} == {
        alias: str(tmp_path / "var" / files[alias]) for alias in found
    }


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/app.db", f"{settings.BASE_DIR}/data/app.db"),
        ("sqlite:////srv/app.db", "/srv/app.db"),
    ],
)
def test_a_relative_sqlite_path_counts_from_the_project(settings_of, monkeypatch, tmp_path, url, path):
    monkeypatch.chdir(tmp_path)
    assert settings_of(DATABASE_URL=url)["DATABASES"]["default"]["NAME"] == path


@pytest.mark.parametrize("url", ["sqlite:///app.db?timeout=1&transaction_mode=DEFERRED", "postgres://u@h/x?pool=0"])
def test_a_database_url_cannot_undo_what_correctness_rests_on(settings_of, url):
    usual = settings_of(DATABASE_URL=url.partition("?")[0])["DATABASES"]["default"]["OPTIONS"]
    assert settings_of(DATABASE_URL=url)["DATABASES"]["default"]["OPTIONS"] == usual


def test_a_key_of_the_environment_is_taken_and_none_is_made(settings_of, tmp_path):
    found = settings_of(SECRET_KEY="s" * 50, TOKEN_KEY="t" * 32, AUDIT_KEY="a" * 32)
    assert [found[f"{name}_KEY"] for name in ("SECRET", "TOKEN", "AUDIT")] == ["s" * 50, "t" * 32, "a" * 32]
    assert not (tmp_path / "var").exists()


def test_it_is_known_whether_the_key_of_the_audit_was_given(settings_of):
    assert settings_of()["AUDIT_KEY_IS_GENERATED"]
    assert not settings_of(AUDIT_KEY="k" * 32)["AUDIT_KEY_IS_GENERATED"]


RAW = {"#": "%23", "/": "%2F", "?": "%3F", "%": "%25", " ": "%20", "[": "%5B"}


@pytest.mark.parametrize("mark", RAW)
@pytest.mark.parametrize("name", [*DATABASE_URLS, "TMS_PROXY"])
def test_a_password_that_has_to_be_encoded_gets_a_hint_and_is_not_shown(settings_of, name, mark):
    scheme = "http" if name == "TMS_PROXY" else "postgres"
    for password in (f"hunter2{mark}hunter3", f"22{mark}zz", f"{mark}hunter2", f"hunter2{mark}"):
        with pytest.raises(ImproperlyConfigured) as caught:
            settings_of(**{name: f"{scheme}://tms:{password}@host:5432" + "/x" * (name != "TMS_PROXY")})
        assert str(caught.value).startswith(f"{name}: percent-encode ")
        assert RAW[mark] in str(caught.value)
        assert "hunter" not in str(caught.value)


def test_a_name_that_would_be_cut_off_gets_the_hint_too(settings_of):
    for url in ("postgres://u:p@host/app#2", "postgres://u:p#2@host/app", "postgres://host/a#b", "sqlite:///a#b.db"):
        with pytest.raises(ImproperlyConfigured, match="^DATABASE_URL: percent-encode .* # as %23"):
            settings_of(DATABASE_URL=url)


def test_an_encoded_password_arrives_as_it_is_meant(settings_of):
    password = "a#b/c?d@e%f g[h]:+&=!"
    for url in (
        f"postgres://tms:{quote(password, safe='')}@host/app",
        "postgres://u:p@host/app?application_name=a@b/c",
    ):
        default = settings_of(DATABASE_URL=url)["DATABASES"]["default"]
        assert default["NAME"] == "app"
        assert default["PASSWORD"] in (password, "p")
