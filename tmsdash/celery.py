"""The Celery application, for sites whose batches and app status runs go through a queue: `celery -A tmsdash worker`.

Only imported where TMS_BATCH_ENGINE is `celery`; nobody else has Celery installed.
"""

import logging
import os
import sys
import warnings
from typing import Any

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning
from django.core.exceptions import ImproperlyConfigured
from kombu.transport import redis
from redis.exceptions import ConnectionError as BrokerConnectionError
from redis.exceptions import ResponseError

from tmsdash import startup
from tmsdash.broker import QUEUE

warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # of a default that is set below
if not startup.command:  # nobody else began this process, so it is Celery's own
    startup.begin_worker()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmsdash.settings")

try:
    from django.conf import settings

    _ = settings.INSTALLED_APPS
except ImproperlyConfigured as error:
    sys.exit(f"TMS Dashboard cannot start. {error}")

logger = logging.getLogger(__name__)
# A broker that does not answer must not keep a Set Action from being recorded.
BROKER_WAIT_S = 2


class _Channel(redis.Channel):
    """A channel that, once its connection is gone, says so.

    kombu 5.7 raises an AttributeError in its place when a worker acknowledges what it was given before, and the worker
    ends. What is not acknowledged Redis hands to another one after the visibility timeout.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if getattr(self.connection, "client", None) is None:
            raise BrokerConnectionError("the connection to the broker is gone")
        return super()._connparams(asynchronous)  # type: ignore[no-untyped-call]


class Transport(redis.Transport):
    """Redis, for a worker that survives Redis.

    A Redis that is full, read-only or at odds with its disk answers all that would change it with an error. kombu does
    not expect that, and the worker ends. Here it is as good as a Redis that is away: whoever comes to it waits.
    """

    Channel = _Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

    def establish_connection(self) -> Any:
        """Connect; raises redis' ConnectionError also if Redis takes nothing."""
        connection = super().establish_connection()  # type: ignore[no-untyped-call]
        try:
            self._avail_channels[-1].client.set(f"{QUEUE}-probe", "", px=1)
        except ResponseError as error:
            self.close_connection(connection)  # type: ignore[no-untyped-call]
            raise BrokerConnectionError(f"Redis takes nothing: {error}") from error
        return connection


app = Celery("tmsdash", broker=settings.CELERY_BROKER_URL or "memory://", set_as_current=False)
app.conf.update(
    accept_content=["json"],
    broker_connection_max_retries=None,  # a worker waits for its broker as long as it takes
    broker_connection_retry_on_startup=True,
    broker_transport="tmsdash.celery:Transport",
    # What Redis hands to another worker when nobody has acknowledged it for so long. No call lasts longer.
    broker_transport_options={
        "visibility_timeout": settings.TMS_DEADLINE_S + 60,
        "socket_timeout": BROKER_WAIT_S,
        "socket_connect_timeout": BROKER_WAIT_S,
        # Of who sends a task; a worker waits for as long as it takes, see above.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
    },
    enable_utc=True,
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    task_serializer="json",
    timezone="UTC",
    # A call that was begun is finished and recorded, whatever becomes of the broker meanwhile.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=False,  # nothing here needs it, and whoever may write to Redis could end workers by it
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    worker_send_task_events=False,
)
app.autodiscover_tasks(["setactions.batches", "setactions.app_status"], related_name="queued")


def _check_worker(**kwargs: Any) -> None:
    """End a worker that must not carry batches of this site, with a sentence."""
    from django.db import connections

    from tmsdash import broker, site_keys  # which have models, or settings
    from tmsdash.db import moves

    if settings.TMS_PASSIVE:
        sys.exit("TMS_PASSIVE is set: this host sends nothing, so it has no worker. Start one on the active host.")
    try:
        moves.assert_in_place()
        is_ours = site_keys.assert_ours()
    except (ImproperlyConfigured, moves.MovedError) as error:
        sys.exit(f"This worker cannot start. {error}")
    if not is_ours:
        sys.exit("The databases do not answer, so the keys cannot be compared. Start the worker when they do.")
    connections.close_all()  # the workers' processes are forked from this one
    for _, text, hint in broker.problems():
        logger.warning("[BATCH] WARNING: %s %s", text, hint)


signals.worker_init.connect(_check_worker)
