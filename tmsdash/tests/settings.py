"""Settings of the tests: the product's own, with an environment that no developer's `.env` can change."""

import atexit
import os
import shutil
import tempfile

for name in (
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "JOBS_DATABASE_URL",
    "AUDIT_DATABASE_URL",
    "HTTPS_ONLY",
    "BASE_PATH",
    "COOKIE_SUFFIX",
    "TRUSTED_PROXIES",
):
    os.environ.pop(name, None)
for name in [name for name in os.environ if name.startswith(("TMS_", "AUDIT_"))]:
    del os.environ[name]
os.environ["ENV_FILE"] = os.devnull
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # tests talk to loopback only
os.environ["VAR_DIR"] = tempfile.mkdtemp(prefix="tmsdash-test-")
atexit.register(shutil.rmtree, os.environ["VAR_DIR"], ignore_errors=True)
os.environ["AUDIT_SEAL_DIR"] = tempfile.mkdtemp(prefix="tmsdash-test-seals-")
atexit.register(shutil.rmtree, os.environ["AUDIT_SEAL_DIR"], ignore_errors=True)
# The port is the simulator's; each test that calls TMS sets it.
# No timer runs here, and none is late for a test that comes long after the databases were made.
os.environ["TIMER_INTERVALS"] = "reconcile=86400,backup=86400,seal=86400,verify=86400"
os.environ["TMS_CLUSTERS"] = "evian3=http://127.0.0.1:1,brooke=http://127.0.0.1:2"

# A PostgreSQL server to run the same tests on, as postgres://user@host:port
_postgres = os.environ.get("TEST_POSTGRES_URL", "")
if _postgres:
    os.environ |= {
        "DATABASE_URL": f"{_postgres}/app",
        "JOBS_DATABASE_URL": f"{_postgres}/jobs",
        "AUDIT_DATABASE_URL": f"{_postgres}/audit",
    }

from tmsdash import startup  # noqa: E402

startup.command = "migrate_all"
from tmsdash.settings import *  # noqa: E402, F403 (the environment had to be set first)
from tmsdash.settings import DATABASES, STATIC_ROOT, VAR_DIR  # noqa: E402

for _alias, _described in DATABASES.items():
    if not _postgres:
        # Files: threads and transactions behave differently on databases in memory.
        _described["TEST"] = {"NAME": str(VAR_DIR / f"test_{_alias}.db")}
STATIC_ROOT.mkdir()  # empty: the test client is served every file under its plain name
WHITENOISE_AUTOREFRESH = True  # looked for when asked for: every client would look at all of them when it is made
TMS_READS_PER_MINUTE = 1000  # tests of the pace set it themselves
KILL_POINT = "tmsdash.tests.killing.kill_point"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick, for accounts that exist for a test
