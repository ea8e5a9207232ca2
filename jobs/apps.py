from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Owns Job and JobCustomer: one Job for every Set Action that TMS accepted."""

    name = "jobs"
    verbose_name = "Jobs"
