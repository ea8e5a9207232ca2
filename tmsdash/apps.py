from django.apps import AppConfig


class TmsdashConfig(AppConfig):
    """The project itself: settings, databases, middleware, system checks and project-wide commands."""

    name = "tmsdash"
    verbose_name = "TMS Dashboard"
    # What is made again by itself, though everybody has to sign in once more, and may go on the way back.
    made_again = ("tmsdash_session", "tmsdash_sitekey", "tmsdash_keptform", "tmsdash_timerrun")

    def ready(self) -> None:
        from tmsdash import broker, checks, site_keys  # noqa: F401 (registers the checks)
        from tmsdash.db import moves  # noqa: F401 (looks at each new connection)
