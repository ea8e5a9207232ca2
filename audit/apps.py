from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Owns AuditEntry and Attempt: what was tried, by whom, and what became of it."""

    name = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from audit import checks  # noqa: F401 (registers the check)
