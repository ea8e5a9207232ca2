from django.apps import AppConfig
from django.conf import settings

from tmsdash import startup


class SetactionsConfig(AppConfig):
    """Carries out Set Actions: the service, the TMS client, and the pages and endpoints in front of them."""

    name = "setactions"
    verbose_name = "Set Actions"

    def ready(self) -> None:
        """Let a server whose work goes through a queue load that now: it takes longer than a batch takes to start."""
        if settings.TMS_BATCH_ENGINE == "celery" and startup.command == "serve":
            # Celery is only where it is used.
            from setactions.app_status import queued as app_runs  # noqa: F401
            from setactions.batches import queued as batches  # noqa: F401
