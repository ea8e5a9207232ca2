"""`python -m setactions.devtools.demo`: the whole product on loopback, with a simulated TMS, for looking around.

Everything lives in VAR_DIR/demo; the settings of a `.env` are left alone. It migrates, makes an
account, starts the simulator and the production server, performs one Set Action through the real
endpoint, prints where to sign in, and serves until Ctrl-C. With DEMO_ONCE=1 it stops after the
Set Action. PORT and TMS_PORT choose the ports, BASE_PATH and COOKIE_SUFFIX are heeded.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from setactions.devtools.proofs.site import BASE_DIR, HOST, ProofError, is_healthy, new_session, wait_for
from tmsdash import startup
from tmsdash.processes import handle

USER = CLUSTER = "demo"
FLEET = 1000


def main() -> None:
    """Run the demo; a reason why it cannot run is one sentence on standard error and exit code 1."""
    startup.begin("demo")
    port, tms_port = _port("PORT", 8000), _port("TMS_PORT", 9000)
    _use_own_settings(port, tms_port)
    handle(lambda *_: sys.exit(0), signal.SIGTERM, signal.SIGHUP)  # so that the server goes down with the demo
    password = _prepare()
    from django.conf import settings

    from setactions.devtools.simulator import Simulator, fleet_ids

    site = f"http://{HOST}:{port}{settings.BASE_PATH}"
    with Simulator(port=tms_port, fleet=FLEET, latency_s=0.3) as tms, _server(site, port) as server:
        job_id = _perform_set_action(site, tms.url, password, fleet_ids(FLEET)[:3])
        print(f"\nOne Set Action was performed. Its job id: {job_id}\n")  # noqa: T201
        if os.environ.get("DEMO_ONCE") == "1":
            return
        examples = "\n".join(f"    {cid}" for cid in fleet_ids(FLEET)[3:8])
        print(  # noqa: T201
            f"Sign in at {site} as {USER} with the password {password}\n"
            "The simulated TMS takes any token, and Get a token any client id and secret.\n"
            f"It knows {FLEET} customers, among them:\n{examples}\n"
            "A token such as fault:not-ready or fault:timeout makes it misbehave "
            "(manage.py tms_simulator --help lists them).\nStop with Ctrl-C.",
            flush=True,
        )
        try:
            server.wait()
        except KeyboardInterrupt:
            print("\nStopping.")  # noqa: T201


def _port(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        sys.exit(f"{name}: write a port number from 1 to 65535; it holds {text!r}.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, int(text)))
        except OSError:
            sys.exit(f"Port {text} is in use. Choose another one: {name}={int(text) + 1} make demo")
    return int(text)


def _use_own_settings(port: int, tms_port: int) -> None:
    """Replace what the environment says, so that the demo can touch no real database and no real TMS."""
    var_dir = BASE_DIR / (os.environ.get("VAR_DIR") or "var") / "demo"
    var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in [*os.environ]:
        if name.startswith("TMS_") or name.endswith("DATABASE_URL"):
            del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tmsdash.settings",
        "ENV_FILE": os.devnull,
        "VAR_DIR": str(var_dir),
        "TMS_CLUSTERS": f"{CLUSTER}=http://{HOST}:{tms_port}",
        "TMS_TOKEN_URLS": f"{CLUSTER}=http://{HOST}:{tms_port}/oauth2/token",
        "ALLOWED_HOSTS": f"{HOST},localhost",
        "HTTPS_ONLY": "false",
        "DEBUG": "false",
        "TIMER_INTERVALS": "reconcile=0,backup=0,seal=0,verify=0",  # there are no timers
        **dict.fromkeys(("CSRF_TRUSTED_ORIGINS", "SECRET_KEY", "TOKEN_KEY", "AUDIT_KEY", "AUDIT_OLD_KEYS"), ""),
        **dict.fromkeys(("AUDIT_SIGNING_KEY", "AUDIT_OLD_SIGNING_KEYS"), ""),
        "PORT": str(port),
    }


def _prepare() -> str:
    """Migrate, and make the demo account unless it is there; return its password."""
    import django

    django.setup()
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate_all", verbosity=0)
    password_file = Path(settings.VAR_DIR) / "password"
    if not password_file.exists():
        password_file.write_text(secrets.token_urlsafe(12))
    password = password_file.read_text()
    user, _ = get_user_model().objects.get_or_create(username=USER, is_staff=True, is_superuser=True)
    if not user.check_password(password):
        user.set_password(password)
        user.save()
    return password


@contextmanager
def _server(url: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the production server as a child process, up when the block begins and gone after it."""
    command = [sys.executable, str(BASE_DIR / "manage.py"), "serve", "--host", HOST, "--port", str(port)]
    server = subprocess.Popen(command)  # noqa: S603 (our own command)
    try:
        wait_for(lambda: is_healthy(url) or server.poll() is not None, "No answer")
        if server.poll() is not None:
            raise ProofError("It has ended.")
        yield server
    except ProofError:
        sys.exit("The server did not start; its messages above say why.")
    finally:
        server.terminate()
        server.wait()


def _perform_set_action(site: str, tms: str, password: str, cids: list[str]) -> str:
    """Do what a script does: sign in, post to /proxy_fetch, return the job id."""
    session = new_session()
    session.get(f"{site}/login/", timeout=30)
    form = {"username": USER, "password": password, "csrfmiddlewaretoken": _csrf_token(session)}
    session.post(f"{site}/login/", data=form, timeout=30).raise_for_status()
    body = {
        "url": f"{tms}/tms/v1/set/action",
        "token": secrets.token_urlsafe(24),
        "isPost": True,
        "postData": {"action": "PE-Enable", "cids": cids},
        "sendAgain": True,
        "confirm": len(cids),
    }
    headers = {"X-CSRFToken": _csrf_token(session)}
    answer = session.post(f"{site}/proxy_fetch", json=body, headers=headers, timeout=60)
    if not answer.ok or not answer.json().get("job_id"):
        sys.exit(f"The Set Action failed with HTTP {answer.status_code}: {answer.text[:500]}")
    return str(answer.json()["job_id"])


def _csrf_token(session: requests.Session) -> str:
    from django.conf import settings

    return str(session.cookies[settings.CSRF_COOKIE_NAME])


if __name__ == "__main__":
    main()
