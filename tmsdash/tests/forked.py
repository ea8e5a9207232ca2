"""Python programs in processes of their own that need not load the libraries first, which takes most of their start.

multiprocessing's server has loaded them, and forks itself for each program. What is the product's own is loaded anew,
with the settings that its environment gives: nothing of the product may be imported here.
"""

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = [
    *("django.contrib.admin", "django.core.handlers.wsgi", "django.core.management", "django.db.migrations.executor"),
    *("environ", "psycopg", "requests", "whitenoise.middleware"),
]

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(LIBRARIES)


def run(
    program: Path, arguments: Sequence[str], *, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a Python program in its folder, as `subprocess.run` does, and return what it wrote.

    Raises `subprocess.TimeoutExpired` once it has run for `timeout_s` seconds.
    """
    command = [sys.executable, program.name, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        written = [Path(folder, "stdout"), Path(folder, "stderr")]
        process = _server.Process(target=_become, args=(command, program.parent, dict(env), written))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout_s)
        ended = subprocess.CompletedProcess(command, process.exitcode, *(path.read_text() for path in written))
        process.close()
        return ended


def _become(command: list[str], folder: Path, env: dict[str, str], written: list[Path]) -> None:
    """Do in this process what the interpreter does when it was started by `command`."""
    for descriptor, path in enumerate(written, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    sys.path[0] = str(folder)
    sys.argv = command[1:]
    sys.orig_argv = command  # with which it may begin itself anew
    try:
        runpy.run_path(command[1], run_name="__main__")
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 (it is told of by the program's own hook)
        sys.excepthook(*sys.exc_info())
        sys.exit(1)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out
