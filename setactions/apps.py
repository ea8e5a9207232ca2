from django.apps import AppConfig
from django.conf import settings

from tmsdash import startup


class SetactionsConfig(AppConfig):
    """Carries out Set Actions: the service, the TMS client, and the pages and endpoints in front of them."""

    name = "setactions"
    verbose_name = "Set Actions"

    def ready(self) -> None:
        """Let a server whose batches go through a queue load that now: it takes longer than a batch takes to start."""
        if settings.TMS_BATCH_ENGINE == "celery" and startup.command == "serve":
            from setactions.batches import queued  # noqa: F401 (Celery is only where it is used)
