"""Each setting is checked when the site starts: what is wrong is named, what is right is taken."""

import re
from pathlib import Path

import certifi
import pytest
from django.core.exceptions import ImproperlyConfigured

from tmsdash.processes import cores
from tmsdash.tests.fresh_settings import DATABASE_URLS, READ, SOURCE

CHECKED = set(
    re.findall(
        r'(?:env|env_addresses|key_files|notice_settings)\.(?!text|names)\w+\(\s*"([A-Z0-9_]+)"', SOURCE.read_text()
    )
)

BOOLEANS = ("DEBUG", "HSTS_SUBDOMAINS", "HTTPS_ONLY", "TMS_503_NOT_APPLIED", "TMS_JSON_CONFIRM", "TMS_PASSIVE")


RANGES = {
    "TMS_DEADLINE_S": (1, 600),
    "TMS_MAX_RESPONSE_BYTES": (1024, 1 << 30),
    "TMS_MAX_READ_BYTES": (1024, 1 << 30),
    "TMS_MAX_CIDS_PER_CALL": (1, 100_000),
    "TMS_DUPLICATE_WINDOW_S": (0, 86_400),
    "TMS_OPEN_AFTER_S": (0, 86_400),
    "TMS_READBACK_INTERVAL_S": (0, 3600),
    "WEB_WORKERS": (1, 256),
    "WEB_THREADS": (2, 512),
    "TMS_MAX_IN_FLIGHT": (1, cores() * 64),  # not above the threads of all workers
    "TMS_CONFIRM_ABOVE": (1, 1_000_000),
    "TMS_REVIEW_MAX_S": (1, 7 * 86_400),
    "TMS_BATCH_CHUNK": (1, 5000),  # not above TMS_MAX_CIDS_PER_CALL
    "TMS_BATCH_CALLS": (1, 64),
    "TMS_BATCH_LEASE_S": (1, 86_400),
    "TMS_READS_PER_MINUTE": (1, 1000),
    "TMS_APP_STATUS_MAX": (1, 10_000),
    "SESSION_IDLE_S": (1, 7 * 86_400),
    "SESSION_MAX_S": (1, 7 * 86_400),
}

NOT_NUMBERS = ("abc", "1.5", "30s", "1e2", "0x10", "1_0", "٣٠", "9" * 30, "--1")

WRONG = [
    *((name, value) for name in BOOLEANS for value in ("ture", "2", "yes please", "None", "falsch")),
    *((name, value) for name in RANGES for value in NOT_NUMBERS),
    *((name, str(minimum - 1)) for name, (minimum, _) in RANGES.items()),
    *((name, str(maximum + 1)) for name, (_, maximum) in RANGES.items()),
    *(
        (name, value)
        for name in DATABASE_URLS
        for value in (
            *("garbage", "://", "mysql://u:p@h/x", "oracle://u:p@h/x", "postgis://u:p@h/x", "http://h/x"),
            *("postgres://u:p@h:port/x", "postgres://u:p@h:5432/", "postgres://", "postgres://u:p@[::1/x"),
            *("sqlite://", "sqlite:///", "sqlite://:memory:", "sqlite:///:memory:", "sqlite://file.db"),
        )
    ),
    ("SECRET_KEY", "k" * 49),
    ("SECRET_KEY_FALLBACKS", f"{'k' * 50},{'k' * 49}"),
    ("TOKEN_KEY", "k" * 31),
    ("AUDIT_KEY", "k" * 31),
    ("AUDIT_OLD_KEYS", f"{'k' * 32},{'k' * 31}"),
    *(("AUDIT_SIGNING_KEY", value) for value in ("x", "k" * 44, f"{'k' * 42}==", f"{'-' * 43}=")),
    *(("AUDIT_OLD_SIGNING_KEYS", value) for value in ("x", f"a+{'0' * 8}+{'A' * 43}", f"a b+{'0' * 8}+{'A' * 44}")),
    ("AUDIT_TIMESTAMP_CA", __file__),
    ("AUDIT_TIMESTAMP_URL", "ftp://tsa.example"),
    ("AUDIT_TIMESTAMP_URL", "http://tsa.example"),  # without its certificate
    ("AUDIT_SEAL_DIR", __file__),
    ("TRUSTED_PROXIES", "proxy.local"),
    ("TRUSTED_PROXIES", "10.0.0.1/8"),  # host bits set: a typing error of some kind
    ("TRUSTED_PROXIES", "10.0.0.0/8, 10.0.0"),
    ("TRUSTED_PROXIES", "*"),
    *(
        ("BASE_PATH", value)
        for value in ("/", "tms", "/tms/", "//tms", "/a/../b", "/t ms", "/té", "/tms?x", "/a.b", "x:/a")
    ),
    *(("COOKIE_SUFFIX", value) for value in ("a b", "a;b", "a=b", "é", "x" * 65)),
    ("TMS_CA_BUNDLE", "/no/such/file.pem"),
    ("TMS_CA_BUNDLE", __file__),
    ("TMS_TRANS_BEGIN_NAME", "PE-Enable"),
    ("TMS_TRANS_BEGIN_NAME", "Trans Begin"),
    ("TMS_PRODUCTION_CLUSTERS", "evian3"),  # none is configured
    ("METRICS_TOKEN", "t" * 15),
    ("AUDIT_WITNESS_TOKEN", "t" * 15),
    ("METRICS_TOKEN", f"{'t' * 16} {'t' * 16}"),
    *(
        ("TIMER_INTERVALS", value)
        for value in ("600", "reconcile", "reconcile=", "reconcile=10m", "backups=600", "seal=-1", "seal=60,seal=60")
    ),
    ("TIMER_INTERVALS", f"verify={366 * 86_400 + 1}"),
    *(
        ("BACKUP_KEEP", value)
        for value in (
            "7",
            "daily",
            "daily=",
            "daily=0",
            "daily=-1",
            "daily=x",
            "yearly=1",
            "daily=1,daily=2",
            "daily=1.5",
        )
    ),
    ("TMS_BATCH_ENGINE", "threads"),
    ("TMS_REQUIRE_NOTE", "sometimes"),
    ("LOG_FORMAT", "yaml"),
    *(
        ("NOTIFY_WEBHOOK_URL", value)
        for value in (
            *("http://hooks.example/x", "ftp://hooks.example", "hooks.example", "https://user:secret@hooks.example/x"),
            *("https://hooks.example/x#y", "https://hooks.example:0/x", "https:///x", "https://hooks.example/ x"),
        )
    ),
    ("NOTIFY_WEBHOOK_URL", "https://hooks.example/x"),  # without a key
    ("NOTIFY_WEBHOOK_KEY", "k" * 31),
    ("NOTIFY_WEBHOOK_KEY", f"{'k' * 31} {'k' * 31}"),
    ("NOTIFY_WEBHOOK_KEY", f"whsec_{'k' * 30}!"),
    ("NOTIFY_EMAIL", "ops@example.org"),  # without a server
    ("NOTIFY_EMAIL", "ops"),
    ("NOTIFY_EMAIL_FROM", "a@example.org,b@example.org"),
    *(
        ("EMAIL_URL", value)
        for value in (
            *("mail.example", "smtp://", "http://mail.example", "consolemail://", "smtp://user:pass@mail.example"),
            *("smtp+tls://user:pa#ss@mail.example", "smtp+tls://user:p/ss@mail.example", "smtp://mail.example:x"),
        )
    ),
    *(("SITE_URL", value) for value in ("dashboard.example", "https://dashboard.example/x", "https://u@dash.example")),
    ("TMS_TOKEN_URLS", "evian3=https://sso.example/token"),  # none is configured
    *(
        ("OIDC_ISSUER_URL", value)
        for value in (
            *("sso.example/realms/acme", "http://sso.example", "https://user:hunter2-hunter2@sso.example", "https://"),
            *(
                "https://sso.example/a?b=c",
                "https://sso.example/a#b",
                "https://sso.example/a b",
                "https://a.example:port",
            ),
        )
    ),
    *(("OIDC_GROUPS", value) for value in ("tms-ops", "=Operators", "tms-ops=", "tms-ops=Operators,x")),
    ("SECOND_FACTOR_REQUIRED", "everybody"),
    ("OIDC_CA_BUNDLE", "/no/such/file.pem"),
    ("TMS_BATCH_ENGINE", "celery"),  # without a broker
    ("CELERY_BROKER_URL", "amqp://localhost"),
    ("CELERY_BROKER_URL", "localhost:6379"),
    ("ENV_FILE", "/no/such/file"),
    ("ALLOWED_HOSTS", "http://tms.example"),
    ("ALLOWED_HOSTS", "tms.example:8000"),
    ("ALLOWED_HOSTS", "tms.example, -x"),
    *(
        ("CSRF_TRUSTED_ORIGINS", value)
        for value in (
            *("tms.example", "https://", "ftp://tms.example", "https://tms.example/path", "https://tms.example?a"),
            *("https://tms.example, tms2.example", "https://*", "https://a.*.example", "https://u:p@tms.example"),
            *("https://tms.example:99999", "https://tms exämple", "*"),
        )
    ),
    ("TMS_PROXY", "http://proxy:99999"),
    ("TMS_CLUSTERS", "evian3=https://tms.example:99999"),
    ("TMS_CLUSTERS", "evian3=https://tms.example:0"),
    ("TMS_CLUSTERS", "evian3=https://-.."),
    ("TMS_CA_BUNDLE", "/"),
    *(
        ("TMS_PROXY", value)
        for value in ("proxy:3128", "proxy", "ftp://proxy:21", "http://", "http:///path", "socks5://p", "http://[::1")
    ),
    *(
        ("TMS_CLUSTERS", value)
        for value in (
            "https://tms.example",  # no name
            "=https://tms.example",
            "evian 3=https://tms.example",
            "-evian=https://tms.example",
            f"{'e' * 65}=https://tms.example",
            "évian=https://tms.example",
            "evian3",
            "evian3=",
            "evian3=tms.example",
            "evian3=ftp://tms.example",
            "evian3=https://",
            "evian3=https://tms.example/tms/v1/set/action",
            "evian3=https://tms.example/?a=b",
            "evian3=https://tms.example#a",
            "evian3=https://user:hunter2-hunter2@tms.example",
            "evian3=https://tms.example:port",
            "evian3=https://tms exämple",
            "evian3=http://tms.example",  # the token would cross the network in the open
            "evian3=http://10.0.0.1:8080",
            "evian3=http://127.0.0.1.tms.example",
            "evian3=http://localhost.tms.example",
            "evian3=https://a.example,evian3=https://b.example",
            "evian3=https://a.example,brooke=https://a.example",
            "evian3=https://a.example,brooke=https://A.example/",
            "evian3=https://a.example,brooke=https://a.example:443",
            "evian3=http://127.0.0.1:80,brooke=http://127.0.0.1",
        )
    ),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_stops_the_start_with_one_sentence_that_begins_with_the_variable(settings_of, name, value):
    with pytest.raises(ImproperlyConfigured) as caught:
        settings_of(**{name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert "\n" not in str(caught.value)


def test_a_var_dir_that_cannot_be_one_is_named(settings_of, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ImproperlyConfigured, match="^VAR_DIR: "):
        settings_of(VAR_DIR=str(tmp_path / "file"))


def test_no_setting_that_can_be_wrong_is_missing_from_the_table_above():
    assert {name for name, _ in WRONG} == CHECKED


def test_seals_never_lie_in_the_folder_of_the_databases(settings_of, tmp_path):
    for folder in (tmp_path / "var", tmp_path / "var" / "seals", tmp_path / "x" / ".." / "var" / "seals"):
        with pytest.raises(ImproperlyConfigured, match="^AUDIT_SEAL_DIR: "):
            settings_of(AUDIT_SEAL_DIR=str(folder))
    assert settings_of(AUDIT_SEAL_DIR=str(tmp_path / "variable"))["AUDIT_SEAL_DIR"] == tmp_path / "variable"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "hunter2-hunter2"),
        ("SECRET_KEY_FALLBACKS", "hunter2-hunter2"),
        ("TOKEN_KEY", "hunter2-hunter2"),
        ("AUDIT_KEY", "hunter2-hunter2"),
        ("AUDIT_OLD_KEYS", "hunter2-hunter2"),
        ("AUDIT_SIGNING_KEY", "hunter2-hunter2"),
        ("DATABASE_URL", "postgres://tms:hunter2-hunter2@host:port/app"),
        ("DATABASE_URL", "mysql://tms:hunter2-hunter2@host/app"),
        ("DATABASE_URL", "//tms:hunter2-hunter2@host/app"),
        ("TMS_PROXY", "ftp://tms:hunter2-hunter2@proxy"),
        ("EMAIL_URL", "smtp://tms:hunter2-hunter2@mail.example"),
        ("EMAIL_URL", "tms:hunter2-hunter2@mail.example"),
        ("NOTIFY_WEBHOOK_URL", "http://hooks.example/hunter2-hunter2"),
        ("NOTIFY_WEBHOOK_KEY", "hunter2-hunter2"),
        ("TMS_PROXY", "tms:hunter2-hunter2@proxy:3128"),
        ("TMS_CLUSTERS", "evian3=https://tms:hunter2-hunter2@tms.example"),
        ("TMS_CLUSTERS", "https://tms:hunter2-hunter2@tms.example"),
        ("TMS_TOKEN_URLS", "evian3=https://tms:hunter2-hunter2@sso.example/token"),
    ],
)
def test_a_sentence_about_a_wrong_value_never_quotes_a_secret(settings_of, name, value):
    with pytest.raises(ImproperlyConfigured) as caught:
        settings_of(**{name: value})
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_trusted_origin_is_spelt_as_browsers_spell_it(settings_of):
    written = (
        "https://TMS.example/, https://*.tms.example, http://127.0.0.1:8000,https://a.example:443,https://[::1]:8443"
    )
    origins = ["https://tms.example", "https://*.tms.example", "http://127.0.0.1:8000", "https://a.example"]
    assert settings_of(CSRF_TRUSTED_ORIGINS=written)["CSRF_TRUSTED_ORIGINS"] == [*origins, "https://[::1]:8443"]


def test_how_many_backups_are_kept_is_counted_by_word_and_all_are_kept_without_any(settings_of):
    assert settings_of()["BACKUP_KEEP"] == {}
    assert settings_of(BACKUP_KEEP="daily=7, monthly=12")["BACKUP_KEEP"] == {"daily": 7, "monthly": 12}


def test_the_entry_that_is_no_origin_is_named(settings_of):
    with pytest.raises(ImproperlyConfigured, match="it holds 'b.example'"):
        settings_of(CSRF_TRUSTED_ORIGINS="https://a.example,b.example")


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [("true", True), ("TRUE", True), ("1", True), ("yes", True), ("On", True), (" true ", True)]
    + [("false", False), ("False", False), ("0", False), ("no", False), ("OFF", False)],
)
def test_a_flag_is_written_in_the_usual_ways(settings_of, name, value, expected):
    assert settings_of(**{name: value})[name] is expected


@pytest.mark.parametrize(("name", "value"), [(name, limit) for name, limits in RANGES.items() for limit in limits])
def test_a_number_may_be_as_small_or_large_as_its_limits(settings_of, name, value):
    assert settings_of(**{name: str(value)})[name] == value


@pytest.mark.parametrize(
    ("deadline_s", "open_after_s"),
    [(None, 90), ("600", 660), ("1", 61)],
)
def test_limits_follow_from_one_another(settings_of, deadline_s, open_after_s):
    environment = {"TMS_DEADLINE_S": deadline_s} if deadline_s else {}
    assert settings_of(**environment)["TMS_OPEN_AFTER_S"] == open_after_s


@pytest.mark.parametrize(
    ("workers", "threads", "given", "in_flight", "per_worker"),
    [
        (1, 64, None, 56, 56),
        (2, 64, None, 112, 56),  # each worker has threads of its own, so all of them can carry more
        (1, 512, None, 504, 504),
        (4, 2, None, 4, 1),  # a small server can send, too
        (2, 64, 10, 10, 10),  # the limit is that of all workers, and one of them may use it up
        (2, 64, 100, 100, 56),
        (2, 64, 127, 127, 64),  # asked for: pages may have to wait
        (1, 64, 64, 64, 64),
    ],
)
def test_calls_leave_threads_of_each_worker_to_pages(settings_of, workers, threads, given, in_flight, per_worker):
    environment = {"WEB_WORKERS": str(workers), "WEB_THREADS": str(threads)}
    if given:
        environment["TMS_MAX_IN_FLIGHT"] = str(given)
    values = settings_of(**environment)
    assert (values["TMS_MAX_IN_FLIGHT"], values["CALLS_PER_WORKER"]) == (in_flight, per_worker)


def test_an_empty_value_means_the_default(settings_of):
    defaults = settings_of()
    empty = settings_of(**dict.fromkeys(READ.keys() - {"ENV_FILE", "VAR_DIR"}, " "))
    for name in READ.keys() & defaults.keys():
        assert empty[name] == defaults[name], name


def test_with_no_environment_nothing_is_reachable_and_nothing_can_be_called(settings_of):
    found = settings_of()
    assert found["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]
    assert found["TMS_CLUSTERS"] == {}
    assert found["TRUSTED_PROXIES"] == found["CSRF_TRUSTED_ORIGINS"] == []
    assert found["DEBUG"] is found["HTTPS_ONLY"] is found["TMS_503_NOT_APPLIED"] is found["TMS_PASSIVE"] is False


@pytest.mark.parametrize(
    ("hosts", "https_only", "expected"),
    [
        ("", "", False),
        ("localhost", "", False),
        ("127.0.0.1,[::1]", "", False),
        ("tms.example", "", True),
        ("localhost,tms.example", "", True),
        ("*", "", True),
        (".example", "", True),
        ("tms.example", "false", False),
        ("localhost", "true", True),
    ],
)
def test_https_is_the_rule_as_soon_as_the_site_has_a_name_of_its_own(settings_of, hosts, https_only, expected):
    found = settings_of(ALLOWED_HOSTS=hosts, HTTPS_ONLY=https_only)
    assert found["HTTPS_ONLY"] is expected
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT"):
        assert found[name] is expected
    assert bool(found["SECURE_HSTS_SECONDS"]) is expected
    prefix = "__Host-" if expected else ""
    assert list(found["PLAIN_COOKIE_NAMES"].values()) == [f"{prefix}sessionid", f"{prefix}csrftoken"]


@pytest.mark.parametrize(
    ("environment", "suffix"),
    [
        ({"BASE_PATH": "/tms"}, ".tms"),
        ({"BASE_PATH": "/ops/tms_2"}, ".ops.tms_2"),
        ({"COOKIE_SUFFIX": "8001"}, ".8001"),
        ({"BASE_PATH": "/tms", "COOKIE_SUFFIX": "8001", "HTTPS_ONLY": "true"}, ".8001"),
    ],
)
def test_sites_beside_each_other_have_cookies_of_their_own(settings_of, environment, suffix):
    found = settings_of(**environment)
    prefix = "__Host-" if "HTTPS_ONLY" in environment else ""
    assert found["SESSION_COOKIE_NAME"] == f"{prefix}sessionid{suffix}"
    assert found["CSRF_COOKIE_NAME"] == f"{prefix}csrftoken{suffix}"
    assert found["SESSION_COOKIE_PATH"] == found["CSRF_COOKIE_PATH"] == "/"  # __Host- is for no other
    assert found["PLAIN_COOKIE_NAMES"] == {}


def test_without_more_its_key_names_the_cookies_of_a_site_and_a_new_key_does_so_once_the_old_one_is_gone(settings_of):
    def names(key, *fallbacks):
        found = settings_of(SECRET_KEY=key * 50, SECRET_KEY_FALLBACKS=",".join(old * 50 for old in fallbacks))
        own = [found["SESSION_COOKIE_NAME"], found["CSRF_COOKIE_NAME"]]
        assert found["PLAIN_COOKIE_NAMES"] == dict(zip(own, ["sessionid", "csrftoken"], strict=True))
        return own

    assert names("a") == names("b", "a") == names("c", "b", "a")
    assert len({*names("a"), *names("b")}) == 4
    assert all(re.fullmatch(r"(sessionid|csrftoken)\.[0-9a-f]{8}", name) for name in names("a"))


@pytest.mark.parametrize(("https_only", "subdomains"), [("true", True), ("true", False), ("false", False)])
def test_names_below_the_site_s_own_are_told_to_use_https_only_by_a_setting(settings_of, https_only, subdomains):
    found = settings_of(HTTPS_ONLY=https_only, HSTS_SUBDOMAINS="true" if subdomains else "")
    assert found["SECURE_HSTS_INCLUDE_SUBDOMAINS"] is subdomains


@pytest.mark.parametrize("hosts", ["tms.example", "localhost,tms.example", "*", ".example", "10.0.0.7"])
def test_a_site_with_a_name_of_its_own_does_not_start_with_debugging(settings_of, hosts):
    with pytest.raises(ImproperlyConfigured, match=r"^DEBUG: write false, or leave nothing but loopback names"):
        settings_of(DEBUG="true", ALLOWED_HOSTS=hosts, HTTPS_ONLY="false")
    assert settings_of(DEBUG="true", ALLOWED_HOSTS="localhost")["DEBUG"] is True


def test_lists_are_trimmed_and_hold_no_empty_parts(settings_of):
    found = settings_of(ALLOWED_HOSTS=" a.example , ,b.example,", CSRF_TRUSTED_ORIGINS="https://a.example ,")
    assert found["ALLOWED_HOSTS"] == ["a.example", "b.example"]
    assert found["CSRF_TRUSTED_ORIGINS"] == ["https://a.example"]


def test_trusted_proxies_are_addresses_and_networks(settings_of):
    found = settings_of(TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8,::1")["TRUSTED_PROXIES"]
    assert [str(network) for network in found] == ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]


def test_clusters_keep_their_order_and_are_origins_in_lower_case(settings_of):
    found = settings_of(
        TMS_CLUSTERS="evian3=https://TMS.Example:8443/ , brooke=http://localhost:9000,a.b_c-1=http://[::1]:1,d=http://127.0.0.1"
    )
    assert list(found["TMS_CLUSTERS"].items()) == [
        ("evian3", "https://tms.example:8443"),
        ("brooke", "http://localhost:9000"),
        ("a.b_c-1", "http://[::1]:1"),
        ("d", "http://127.0.0.1"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        *("https://sso.example/token", "brooke=https://sso.example/token", "evian3=", "evian3=sso.example/token"),
        *("evian3=https://sso.example", "evian3=http://sso.example/token", "evian3=https://sso.example/a#b"),
        *("evian3=https://sso.example/a b", "evian3=https:///token", "evian3=https://a/t,evian3=https://b/t"),
    ],
)
def test_a_token_endpoint_is_an_https_address_with_a_path_for_a_cluster_that_is_configured(settings_of, value):
    with pytest.raises(ImproperlyConfigured, match=r"^TMS_TOKEN_URLS: "):
        settings_of(TMS_CLUSTERS="evian3=https://tms.example", TMS_TOKEN_URLS=value)


def test_token_endpoints_keep_the_case_of_their_paths(settings_of):
    clusters = "evian3=https://tms.example,brooke=https://other.example"
    urls = "evian3=https://SSO.example/As/Token.oauth2?p=B=1 , brooke=http://127.0.0.1:9000/token"
    found = settings_of(TMS_CLUSTERS=clusters, TMS_TOKEN_URLS=urls)["TMS_TOKEN_URLS"]
    assert found == {"evian3": "https://sso.example/As/Token.oauth2?p=B=1", "brooke": "http://127.0.0.1:9000/token"}


def test_a_provider_needs_a_client_and_values_of_groups_may_hold_what_directories_put_there(settings_of):
    provider = {"OIDC_ISSUER_URL": "https://SSO.example/realms/Acme/", "OIDC_CLIENT_ID": "tms"}
    with pytest.raises(ImproperlyConfigured, match=r"^OIDC_CLIENT_SECRET: set it as well; OIDC_ISSUER_URL needs it"):
        settings_of(**provider)
    found = settings_of(**provider, OIDC_CLIENT_SECRET="hunter2", OIDC_GROUPS="cn=ops=Operators, 4f6a=staff")
    assert found["OIDC_ISSUER_URL"] == "https://sso.example/realms/Acme"
    assert found["OIDC_GROUPS"] == [("cn=ops", "Operators"), ("4f6a", "staff")]


def test_a_proxy_and_a_ca_bundle_are_taken_as_they_are(settings_of, tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    found = settings_of(TMS_PROXY="http://user:pass@proxy:3128", TMS_CA_BUNDLE=str(bundle))
    assert (found["TMS_PROXY"], found["TMS_CA_BUNDLE"]) == ("http://user:pass@proxy:3128", str(bundle))


def test_who_is_told_where_and_by_whom(settings_of):
    plain = settings_of(ALLOWED_HOSTS="localhost,.example.org,dashboard.example")
    assert (plain["NOTIFY_WEBHOOK_URL"], plain["NOTIFY_EMAIL"], plain["MAIL_SERVER"]) == ("", [], None)
    assert plain["SITE_URL"] == "https://dashboard.example"
    assert plain["NOTIFY_EMAIL_FROM"] == "tms-dashboard@dashboard.example"
    told = settings_of(
        NOTIFY_WEBHOOK_URL="https://hooks.example:8443/a?b=c",
        NOTIFY_WEBHOOK_KEY="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        NOTIFY_EMAIL="ops@example.org, night@example.org",
        EMAIL_URL="smtp+tls://tms%40example.org:p%23@mail.example",
        SITE_URL="https://dash.example:8443/",
    )
    assert told["NOTIFY_WEBHOOK_URL"] == "https://hooks.example:8443/a?b=c"
    assert len(told["NOTIFY_WEBHOOK_KEY"]) == 24
    assert told["NOTIFY_EMAIL"] == ["ops@example.org", "night@example.org"]
    assert told["MAIL_SERVER"] == ("mail.example", 587, "tms@example.org", "p#", True, False)
    assert "p#" not in repr(told["MAIL_SERVER"])
    assert told["SITE_URL"] == "https://dash.example:8443"
    loopback = settings_of(
        NOTIFY_WEBHOOK_URL="http://127.0.0.1:9000", NOTIFY_WEBHOOK_KEY="k" * 32, ALLOWED_HOSTS="*", SITE_URL=""
    )
    assert (loopback["NOTIFY_WEBHOOK_URL"], loopback["SITE_URL"]) == ("http://127.0.0.1:9000/", "")
