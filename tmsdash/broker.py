"""Whether the broker of queued batches keeps what it is given in memory only: tokens cross it, sealed."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register

QUEUE = "tms-batches"
WAIT_S = 2  # for a broker that does not answer
NOTHING_ON_DISK = 'Start Redis with --save "" --appendonly no, or put both into its redis.conf.'


def client() -> Any:
    """Return a client of Redis' own, which waits for WAIT_S at most; to be closed."""
    import redis  # only installed where batches are queued

    url, options = settings.CELERY_BROKER_URL, {"socket_timeout": WAIT_S, "socket_connect_timeout": WAIT_S}
    return redis.Redis.from_url(url, decode_responses=True, **options)


def problems() -> Iterator[tuple[str, str, str]]:
    """Yield the id, a sentence and what to do for each thing that is wrong with the broker; nothing without one."""
    if settings.TMS_BATCH_ENGINE != "celery":
        return
    import redis  # only installed where batches are queued

    with client() as session:
        try:
            kept = session.config_get("save", "appendonly")
        except redis.ResponseError:
            text = "Redis does not say whether it writes what it holds to disk, sealed tokens among it."
            yield "tmsdash.W051", text, f"Allow CONFIG GET to the user of CELERY_BROKER_URL. {NOTHING_ON_DISK}"
            return
        except redis.RedisError as error:
            yield "tmsdash.W052", f"The queue of the batches cannot be reached: {error}.", "See CELERY_BROKER_URL."
            return
    if kept.get("save") or kept.get("appendonly") != "no":
        yield "tmsdash.W050", "Redis writes what it holds to disk, sealed tokens among it.", NOTHING_ON_DISK


@register(Tags.security, deploy=True)
def check_broker(**kwargs: object) -> list[CheckMessage]:
    """What is in the broker's memory only is gone with it."""
    return [Warning(text, hint, id=name) for name, text, hint in problems()]
