"""The queue of batches, where there is one: Redis answers, and a worker waits for what comes."""

from django.conf import settings

from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash import broker

START = "systemctl start tms-dashboard-worker; or: celery -A tmsdash worker"


def look(site: Site) -> Findings:
    """Yield what keeps batches from being carried; nothing where threads of the server carry them."""
    if settings.TMS_BATCH_ENGINE != "celery":
        yield Well("none: batches run in the server")
        return
    problems = list(broker.problems())
    for name, sentence, hint in problems:
        mend = f"systemctl start redis-server; or correct CELERY_BROKER_URL. {hint}" if name == "tmsdash.W052" else hint
        yield Finding(name, sentence, mend)
    if not any(name == "tmsdash.W052" for name, *_ in problems):
        yield from _workers()


def _workers() -> Findings:
    """Yield whether nobody takes what is in the queue: a worker that has nothing to do waits for it in Redis."""
    import redis  # only installed where batches are queued

    with broker.client() as session:
        try:
            waiting = int(session.llen(broker.QUEUE))
            are_listening = any(str(client.get("cmd", "")).startswith("brpop") for client in session.client_list())
        except redis.RedisError as error:
            sentence = f"Redis does not say whether a worker is there: {type(error).__name__}."
            yield note("queue.unknown", sentence, "Allow LLEN and CLIENT LIST to the user of CELERY_BROKER_URL.")
            return
    if are_listening:
        yield Well("a worker waits for what comes")
    elif waiting:
        yield Finding("queue.no_worker", f"Work waits in the queue ({waiting}), and no worker takes it.", START)
    else:
        yield note("queue.no_worker", "No worker waits at the queue: none runs, or all are busy.", START)
