from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Owns Job and JobCustomer: one Job for every Set Action that TMS accepted."""

    name = "jobs"
    verbose_name = "Jobs"
    # What migrating forwards makes from other rows, or what serves for minutes, and may go on the way back.
    made_again = (
        *("jobs_jobday", "jobs_clusterpace", "jobs_storedreview", "jobs_job.source"),
        *(f"jobs_{signed}.{column}" for signed in ("job", "batch", "batchchunk") for column in ("mac", "key_id")),
    )
