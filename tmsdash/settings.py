"""All settings of TMS Dashboard, read from the environment and `.env`; docs/settings.md has their table.

Every default is safe: nothing is reachable from outside, no cluster can be called, debugging is off.
"""

import sys
from datetime import timedelta
from pathlib import Path

from tmsdash import env, env_addresses, key_files, notice_settings, startup
from tmsdash.db import transactions
from tmsdash.db.postgresql import ENGINE as POSTGRESQL_ENGINE
from tmsdash.processes import cores

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_PATH = env.read_file("ENV_FILE", BASE_DIR, ".env")
VAR_DIR = BASE_DIR / env.text("VAR_DIR", "var")
if startup.makes_installation() and startup.command != "restore":
    key_files.refuse_as_root(VAR_DIR)

# -- Who may reach the site ---------------------------------------------------------------------------------------
ALLOWED_HOSTS = env_addresses.hosts("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
DEBUG = env.debugging("DEBUG", ALLOWED_HOSTS)
CSRF_TRUSTED_ORIGINS = env_addresses.web_origins("CSRF_TRUSTED_ORIGINS")
HTTPS_ONLY = env.boolean("HTTPS_ONLY", not env.LOOPBACK_NAMES.issuperset(ALLOWED_HOSTS))
TRUSTED_PROXIES = env_addresses.networks("TRUSTED_PROXIES")
HSTS_SUBDOMAINS = env.boolean("HSTS_SUBDOMAINS", False)
BASE_PATH = env_addresses.base_path("BASE_PATH")
COOKIE_SUFFIX = env.cookie_suffix("COOKIE_SUFFIX", BASE_PATH)

# -- TMS ----------------------------------------------------------------------------------------------------------
TMS_CLUSTERS = env_addresses.clusters("TMS_CLUSTERS")
TMS_DEADLINE_S = env.integer("TMS_DEADLINE_S", 30, minimum=1, maximum=600)
TMS_CA_BUNDLE = env.certificates("TMS_CA_BUNDLE")
TMS_PROXY = env_addresses.url("TMS_PROXY")
TMS_TRANS_BEGIN_NAME = env.spelling("TMS_TRANS_BEGIN_NAME", ["Trans-Begin", "Tran-Begin"])
TMS_503_NOT_APPLIED = env.boolean("TMS_503_NOT_APPLIED", False)
TMS_MAX_RESPONSE_BYTES = env.integer("TMS_MAX_RESPONSE_BYTES", 1 << 20, minimum=1024, maximum=1 << 30)
TMS_MAX_READ_BYTES = env.integer("TMS_MAX_READ_BYTES", 64 << 20, minimum=1024, maximum=1 << 30)
TMS_MAX_CIDS_PER_CALL = env.integer("TMS_MAX_CIDS_PER_CALL", 5000, minimum=1, maximum=100_000)
TMS_DUPLICATE_WINDOW_S = env.integer("TMS_DUPLICATE_WINDOW_S", 600, minimum=0, maximum=86_400)
TMS_OPEN_AFTER_S = env.integer("TMS_OPEN_AFTER_S", TMS_DEADLINE_S + 60, minimum=0, maximum=86_400)
TMS_READBACK_INTERVAL_S = env.integer("TMS_READBACK_INTERVAL_S", 60, minimum=0, maximum=3600)
TMS_PRODUCTION_CLUSTERS = env.some_of("TMS_PRODUCTION_CLUSTERS", TMS_CLUSTERS)
TMS_CONFIRM_ABOVE = env.integer("TMS_CONFIRM_ABOVE", 1000, minimum=1, maximum=1_000_000)
TMS_JSON_CONFIRM = env.boolean("TMS_JSON_CONFIRM", True)
TMS_TOKEN_URLS = env_addresses.token_urls("TMS_TOKEN_URLS", TMS_CLUSTERS)
TMS_REQUIRE_NOTE = env.spelling("TMS_REQUIRE_NOTE", ["false", "production", "true"]).lower()
TMS_REVIEW_MAX_S = env.integer("TMS_REVIEW_MAX_S", 86_400, minimum=1, maximum=7 * 86_400)
TMS_BATCH_CHUNK = env.integer(
    "TMS_BATCH_CHUNK", min(500, TMS_MAX_CIDS_PER_CALL), minimum=1, maximum=TMS_MAX_CIDS_PER_CALL
)
TMS_BATCH_CALLS = env.integer("TMS_BATCH_CALLS", 2, minimum=1, maximum=64)
TMS_READS_PER_MINUTE = env.integer("TMS_READS_PER_MINUTE", 60, minimum=1, maximum=1000)
TMS_APP_STATUS_MAX = env.integer("TMS_APP_STATUS_MAX", 1000, minimum=1, maximum=10_000)
TMS_BATCH_ENGINE = env.spelling("TMS_BATCH_ENGINE", ["local", "celery"]).lower()
CELERY_BROKER_URL = env_addresses.broker("CELERY_BROKER_URL", is_needed=TMS_BATCH_ENGINE == "celery")
TMS_BATCH_LEASE_S = env.integer("TMS_BATCH_LEASE_S", TMS_DEADLINE_S + 30, minimum=1, maximum=86_400)
TMS_PASSIVE = env.boolean("TMS_PASSIVE", False)

# Elsewhere than on Linux workers cannot share their limits.
WEB_WORKERS = env.integer("WEB_WORKERS", cores() if sys.platform == "linux" else 1, minimum=1, maximum=256)
WEB_THREADS = env.integer("WEB_THREADS", 64, minimum=2, maximum=512)
THREADS_FOR_CALLS = max(1, WEB_THREADS - 8)  # of each worker; the others are for pages
TMS_MAX_IN_FLIGHT = env.integer(
    "TMS_MAX_IN_FLIGHT", WEB_WORKERS * THREADS_FOR_CALLS, minimum=1, maximum=WEB_WORKERS * WEB_THREADS
)
# The system does not spread clients evenly, and pages must stay quick in every worker. One gives up threads that are
# for pages only if TMS_MAX_IN_FLIGHT asks for more calls than all workers have threads for.
CALLS_PER_WORKER = min(TMS_MAX_IN_FLIGHT, max(THREADS_FOR_CALLS, -(-TMS_MAX_IN_FLIGHT // WEB_WORKERS)))

# -- Databases ----------------------------------------------------------------------------------------------------
# A lost row of users or sessions is a nuisance; a lost row of the others breaks the product's promise.
DATABASES = {
    "default": transactions.tuned(
        env_addresses.database("DATABASE_URL", VAR_DIR / "app.db", BASE_DIR), WEB_THREADS, "NORMAL"
    ),
    "jobs": transactions.tuned(
        env_addresses.database("JOBS_DATABASE_URL", VAR_DIR / "jobs.db", BASE_DIR), WEB_THREADS, "FULL"
    ),
    "audit": transactions.tuned(
        env_addresses.database("AUDIT_DATABASE_URL", VAR_DIR / "audit.db", BASE_DIR), WEB_THREADS, "FULL"
    ),
}
# Several hosts can share an audit on PostgreSQL. What is set holds for all of them; the default is each server's own.
CALLS_OF_ALL_HOSTS = (
    TMS_MAX_IN_FLIGHT if env.text("TMS_MAX_IN_FLIGHT") and DATABASES["audit"]["ENGINE"] == POSTGRESQL_ENGINE else None
)
BACKUP_KEEP = env.counts("BACKUP_KEEP", ("daily", "weekly", "monthly"))  # without any, all backups are kept
DATABASE_ROUTERS = ["tmsdash.router.AppRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- Keys ---------------------------------------------------------------------------------------------------------
DATABASE_FILES = transactions.files(DATABASES)
SECRET_KEY = key_files.generated("SECRET_KEY", VAR_DIR / "secret_key", minimum_length=50, used_by=DATABASE_FILES)
SECRET_KEY_FALLBACKS = env.keys("SECRET_KEY_FALLBACKS", minimum_length=50)
TOKEN_KEY = key_files.generated("TOKEN_KEY", VAR_DIR / "token_key", minimum_length=32, used_by=DATABASE_FILES)
AUDIT_KEY = key_files.generated(
    "AUDIT_KEY", VAR_DIR / "audit_key", minimum_length=32, used_by=transactions.files_with_audit_key(DATABASES)
)
AUDIT_KEY_IS_GENERATED = not env.text("AUDIT_KEY")
AUDIT_OLD_KEYS = env.keys("AUDIT_OLD_KEYS", minimum_length=32)
AUDIT_SIGNING_KEY = env.signing_key("AUDIT_SIGNING_KEY")  # without it, `audit_seal` keeps one in VAR_DIR
AUDIT_OLD_SIGNING_KEYS = env.public_keys("AUDIT_OLD_SIGNING_KEYS")
AUDIT_TIMESTAMP_CA = env.certificates("AUDIT_TIMESTAMP_CA")
AUDIT_TIMESTAMP_URL = env_addresses.authority("AUDIT_TIMESTAMP_URL", needs=("AUDIT_TIMESTAMP_CA", AUDIT_TIMESTAMP_CA))
AUDIT_SEAL_DIR = env.folder_outside("AUDIT_SEAL_DIR", "seals", BASE_DIR, VAR_DIR)

# -- Monitoring ---------------------------------------------------------------------------------------------------
METRICS_TOKEN = env.shared_secret("METRICS_TOKEN", minimum_length=16)
AUDIT_WITNESS_TOKEN = env.shared_secret("AUDIT_WITNESS_TOKEN", minimum_length=16)
# Seconds between two runs, which those of the timers in deploy/ do not exceed.
TIMER_INTERVALS = env.intervals(
    "TIMER_INTERVALS",
    {"reconcile": 600, "backup": 86_400, "seal": 3600, "verify": 86_400},
    maximum=366 * 86_400,
)

# -- Django -------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "tmsdash.apps.TmsdashConfig",
    "setactions.apps.SetactionsConfig",
    "jobs.apps.JobsConfig",
    "audit.apps.AuditConfig",
    "tmsdash.web.admin_site.Config",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "tmsdash.allauth_apps.AccountConfig",  # tables for single sign-on and second factors, whether or not they are used
    "tmsdash.allauth_apps.SocialAccountConfig",
    "tmsdash.allauth_apps.MFAConfig",
]
MIDDLEWARE = [
    "tmsdash.web.middleware.ResponseHeadersMiddleware",  # first: it sees every answer
    "tmsdash.web.proxies.TrustedProxyMiddleware",  # everything below sees the real client and scheme
    "tmsdash.web.access_log.AccessLogMiddleware",
    "tmsdash.web.middleware.HealthHostMiddleware",
    "tmsdash.db.broken_rows.check_rows",
    "tmsdash.web.plain_text.NoNulMiddleware",
    "tmsdash.web.cookies.PlainNamesMiddleware",
    "tmsdash.web.plain_http.PlainHttpMiddleware",
    "tmsdash.web.middleware.NoTokenInAddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "tmsdash.web.middleware.MethodsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tmsdash.web.middleware.TimeZoneMiddleware",
    "tmsdash.web.compression.CompressionMiddleware",  # below WhiteNoise, whose files are compressed already
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "tmsdash.session_users.SessionUserMiddleware",
    "tmsdash.web.sessions.SessionLimitsMiddleware",
    "tmsdash.web.middleware.RequestBodyMiddleware",
    "audit.accounts.late_posts.SignInRequiredMiddleware",
    "tmsdash.passwords.initial.InitialPasswordMiddleware",
    "audit.accounts.second_factors.middleware.SecondFactorMiddleware",
    "tmsdash.passwords.hashing.HashingPlacesMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "tmsdash.urls"
WSGI_APPLICATION = "tmsdash.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "setactions.pages.context.permissions",
                "tmsdash.web.display.display_context",
            ],
            "builtins": [
                f"tmsdash.web.{name}"
                for name in ("template_filters", "day_groups", "clusters", "parts", "frame", "template_tags")
            ],
        },
    }
]
FORM_RENDERER = "tmsdash.web.form_renderer.Renderer"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False  # nothing is translated, and Django would look the language up for every value of a page
USE_TZ = True
FORCE_SCRIPT_NAME = BASE_PATH or None  # tmsdash.web.base_path says more
STATIC_URL = f"{BASE_PATH}/static/"
STATIC_ROOT = VAR_DIR / "static"  # filled by `serve`, see tmsdash/web/static_files.py
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700  # of collected files; no uploads are stored
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "tmsdash.web.static_files.Storage"},
}
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site has a use for our files
WHITENOISE_MIMETYPES = {".svg": "image/svg+xml; charset=utf-8"}  # to text/* it adds the charset itself
WHITENOISE_USE_FINDERS = True  # files that could not be collected are served all the same

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "new_action"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [  # the first one's are made; the others' are from older versions
    "tmsdash.passwords.hashing.Argon2PasswordHasher",
    "tmsdash.passwords.hashing.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "tmsdash.passwords.rules.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "tmsdash.passwords.rules.GuessableValidator"},
]

# 5 MiB hold 30,000 ids of 128 characters; RequestBodyMiddleware applies it to uploads too.
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 << 20
# Uploads stay in memory: a file may contain a token, which must not be written to disk.
FILE_UPLOAD_MAX_MEMORY_SIZE = DATA_UPLOAD_MAX_MEMORY_SIZE
CSRF_FAILURE_VIEW = "audit.accounts.late_posts.csrf_failure"
DEFAULT_EXCEPTION_REPORTER_FILTER = "tmsdash.web.errors.AlwaysHidingFilter"

SESSION_ENGINE = "tmsdash.models"
SESSION_IDLE_S = env.integer("SESSION_IDLE_S", 900, minimum=1, maximum=7 * 86_400)
SESSION_MAX_S = env.integer("SESSION_MAX_S", 43_200, minimum=1, maximum=7 * 86_400)
SESSION_COOKIE_AGE = SESSION_MAX_S  # of the row; sessions.py applies both limits
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# Browsers accept cookies with this prefix only from the host itself, over HTTPS, and for all of its paths.
_HOST_ONLY = "__Host-" if HTTPS_ONLY else ""
# They come to every port and path of the host: with the same names, sites beside each other sign people out of each
# other. While a key has a fallback, its first one names them, so that nothing is renamed meanwhile.
_SUFFIX = COOKIE_SUFFIX or env.digest((SECRET_KEY_FALLBACKS or [SECRET_KEY])[-1], "names of cookies")
_PLAIN_NAMES = f"{_HOST_ONLY}sessionid", f"{_HOST_ONLY}csrftoken"
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = (f"{name}.{_SUFFIX}" for name in _PLAIN_NAMES)
# By the site's own names; only where nothing else was asked for.
PLAIN_COOKIE_NAMES = (
    {} if COOKIE_SUFFIX else dict(zip((SESSION_COOKIE_NAME, CSRF_COOKIE_NAME), _PLAIN_NAMES, strict=True))
)
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # following a link in a mail, one is still signed in
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # Django's other one sets a cookie
SECURE_SSL_REDIRECT = HTTPS_ONLY
# Asked over plain HTTP, see tmsdash.web.plain_http.
SECURE_REDIRECT_EXEMPT = [rf"^{BASE_PATH}/(health|metrics)$".replace("/", "", 1)]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY and HSTS_SUBDOMAINS
# Names below the site's are for their own administrators to decide about: nothing here needs them to have HTTPS (W005).
# The preload list is for whole public domains, which an internal dashboard must not sign up (W021).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
X_FRAME_OPTIONS = "DENY"

# -- Throttling of sign-ins: per user and address, so that nobody can lock somebody else out from elsewhere ------------
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # the wait is as long as the page says
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "tmsdash.web.addresses.throttled_address"
AXES_USERNAME_CALLABLE = "tmsdash.accounts.throttled_name"
AXES_LOCKOUT_CALLABLE = "audit.accounts.throttling.locked_out"
AXES_HANDLER = "audit.accounts.throttling.ThrottleHandler"
AXES_DISABLE_ACCESS_LOG = True  # the audit has the sign-ins
AXES_ENABLE_ADMIN = False

# -- Single sign-on: with an OpenID provider, beside the accounts that have a password here ---------------------------
# Without a provider nothing of it is reachable. Of django-allauth, the client and the table of identities are used.
OIDC_ISSUER_URL = env_addresses.issuer("OIDC_ISSUER_URL", needs=("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET"))
OIDC_CLIENT_ID, OIDC_CLIENT_SECRET = env.text("OIDC_CLIENT_ID"), env.text("OIDC_CLIENT_SECRET")
OIDC_NAME = env.text("OIDC_NAME", "single sign-on")
OIDC_USERNAME_CLAIM = env.text("OIDC_USERNAME_CLAIM", "preferred_username")
OIDC_GROUPS_CLAIM = env.text("OIDC_GROUPS_CLAIM", "groups")
OIDC_GROUPS = env.pairs("OIDC_GROUPS")
OIDC_CA_BUNDLE = env.certificates("OIDC_CA_BUNDLE")
SOCIALACCOUNT_ADAPTER = "audit.accounts.oidc.provider.Transport"
SOCIALACCOUNT_STORE_TOKENS = False

# -- Second factors: codes of an app, for accounts that sign in with a password here -----------------------------------
SECOND_FACTOR_REQUIRED = env.spelling("SECOND_FACTOR_REQUIRED", ["none", "staff", "all"]).lower()
MFA_ADAPTER = "audit.accounts.second_factors.factors.Adapter"

# -- Notifications --------------------------------------------------------------------------------------------------
SITE_URL = notice_settings.site_url("SITE_URL", ALLOWED_HOSTS, is_https=HTTPS_ONLY)
NOTIFY_WEBHOOK_URL = notice_settings.webhook("NOTIFY_WEBHOOK_URL")
NOTIFY_WEBHOOK_KEY = notice_settings.webhook_key(
    "NOTIFY_WEBHOOK_KEY", needed_by="NOTIFY_WEBHOOK_URL" if NOTIFY_WEBHOOK_URL else ""
)
NOTIFY_EMAIL = notice_settings.addresses("NOTIFY_EMAIL")
NOTIFY_EMAIL_FROM = notice_settings.sender("NOTIFY_EMAIL_FROM", SITE_URL)
MAIL_SERVER = notice_settings.mail_server("EMAIL_URL", needed_by="NOTIFY_EMAIL" if NOTIFY_EMAIL else "")

# -- Logging: to standard error, each record on one line ------------------------------------------------------------
LOG_FORMAT = env.spelling("LOG_FORMAT", ["text", "json"]).lower()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "one_line": {
            "()": "tmsdash.logs.OneLineFormatter",
            # The message first: scripts that read the log expect lines that begin with [SET_ACTION].
            "format": "%(message)s [%(levelname)s %(asctime)s %(request_id)s]",
        }
        if LOG_FORMAT == "text"
        else {"()": "tmsdash.json_logs.JsonFormatter"}
    },
    "filters": {
        "shown_paths": {"()": "tmsdash.logs.ShownPaths"},
        "without_traceback": {"()": "tmsdash.logs.WithoutTraceback"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "one_line", "filters": ["shown_paths"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Django's own handlers would write a second, multi-line copy and mail it.
        "django": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # Anybody can send a foreign host name: one line is enough.
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
        # The server's own handler would write an exception that Django does not see on lines of its own.
        "_granian": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # urllib3 warns of broken headers by quoting them, and TMS may have put the token there.
        "urllib3": {"level": "CRITICAL"},
        "axes": {"level": "ERROR"},  # audit.accounts.sign_in says it in our words
    },
}
