"""Settings of the stand-in; all that it is told comes from the environment."""

import os
from pathlib import Path

PACKAGE = "setactions.devtools.call_then_record"

SECRET_KEY = "of no use to anybody else"  # noqa: S105 (the stand-in lives as long as a measurement)
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages"),
    PACKAGE,
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = f"{PACKAGE}.urls"
DATABASES = {
    alias: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["VAR_DIR"]) / f"{alias}.db",
        "CONN_MAX_AGE": 600,
        "OPTIONS": {"timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"},
    }
    for alias in ("default", "jobs", "audit")
}
DATABASE_ROUTERS = [f"{PACKAGE}.models.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 << 20
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
