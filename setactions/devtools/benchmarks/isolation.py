"""Each benchmark in a process of its own, on databases as they were at first."""

import multiprocessing
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from django.conf import settings

from setactions.devtools.benchmarks import BENCHMARKS, measurement
from setactions.devtools.benchmarks.measurement import Row

PRISTINE = "pristine"


def run_each(names: Sequence[str], rounds: Mapping[str, int]) -> tuple[list[Row], list[str]]:
    """Run benchmarks on the installation of this process; return their rows, and the names of those that failed.

    Each runs in a process of its own, which changes settings as it likes, on the databases as they were at first.
    """
    var_dir = Path(settings.VAR_DIR)
    pristine = var_dir.parent / PRISTINE
    shutil.copytree(var_dir, pristine)
    rows: list[Row] = []
    failed = []
    fork = multiprocessing.get_context("fork")  # Django and the benchmarks are loaded already
    for name in names:
        measurement.rounds = rounds[name]
        reader, writer = fork.Pipe(duplex=False)
        process = fork.Process(target=_run, args=(name, writer))
        process.start()
        writer.close()
        with suppress(EOFError):  # it ended early, and has said why
            rows += reader.recv()
        process.join()
        if process.exitcode:
            failed.append(name)
        shutil.rmtree(var_dir)
        shutil.copytree(pristine, var_dir)
    return rows, failed


def _run(name: str, answers: Connection) -> None:
    passed = BENCHMARKS[name]()
    answers.send(measurement.rows)
    sys.exit(0 if passed else 1)
