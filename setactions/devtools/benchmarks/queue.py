"""What a batch through the queue takes, beside one in the server's own threads: `manage.py bench queue`."""

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from setactions.devtools.benchmarks.batches import CALL_S
from setactions.devtools.benchmarks.measurement import compare, scaled
from setactions.devtools.proofs.batch_kills import CALLS_AT_ONCE, CHUNK, Operator
from setactions.devtools.proofs.clients import MAIN
from setactions.devtools.proofs.site import HOST, Site, unused_port, wait_for
from setactions.devtools.simulator import Simulator

CHUNKS = 40
PROCESSES = 3  # of the worker
LIMIT = 1.05


def queue() -> bool:
    """Compare the two engines: each has a site of its own, with a server and whatever else carries its batches."""
    if shutil.which("redis-server") is None:
        raise CommandError("Redis is not installed (Debian: apt-get install redis-server).")
    chunks = max(2, scaled(CHUNKS))
    with (
        Simulator(latency_s=CALL_S) as tms,
        _engine("celery", tms, chunks) as through_queue,
        _engine("local", tms, chunks) as in_threads,
    ):
        comparison = compare(through_queue, in_threads, warm_up=True)
    what = f"a batch of {chunks} calls of {CALL_S:g} s, {CALLS_AT_ONCE} at once, through the queue"
    return comparison.report("queue", what, "in the server's threads", LIMIT)


@contextmanager
def _engine(name: str, tms: Simulator, chunks: int) -> Iterator[Callable[[], None]]:
    """Run a site with this engine; yield what starts a batch of so many chunks on its pages, and waits for its end."""
    folder = Path(settings.VAR_DIR) / name
    folder.mkdir()
    sizes = {"TMS_BATCH_CHUNK": CHUNK, "TMS_MAX_CIDS_PER_CALL": CHUNK, "TMS_BATCH_CALLS": CALLS_AT_ONCE}
    port = unused_port()  # held until Redis listens there
    number = port.getsockname()[1]
    engine = {"TMS_BATCH_ENGINE": name, "CELERY_BROKER_URL": f"redis://{HOST}:{number}/0"}
    with port, Site(folder, {MAIN: tms.url}, **sizes, **engine) as site:
        site.set_up()
        if name == "celery":
            port.close()
            options = ["--port", str(number), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(folder)]
            site.spawn_program("redis", "redis-server", *options)
            worker = ["worker", "--concurrency", str(PROCESSES)]
            site.spawn_program("worker", sys.executable, "-m", "celery", "-A", "tmsdash", *worker)
        operator = Operator(site, tms, random.Random(name))  # noqa: S311 (no secret)

        def carry() -> None:
            fleet = operator.start_on_pages(chunks * CHUNK)
            wait_for(lambda: not operator.is_carried(fleet), "the batch did not end")

        yield carry
