from django.apps import AppConfig


class SetactionsConfig(AppConfig):
    """Carries out Set Actions: the service, the TMS client, and the pages and endpoints in front of them."""

    name = "setactions"
    verbose_name = "Set Actions"
