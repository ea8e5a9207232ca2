from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Owns AuditEntry and Attempt: what was tried, by whom, and what became of it."""

    name = "audit"
    verbose_name = "Audit"
    # What migrating forwards makes from the entries, and may go on the way back.
    made_again = (
        "audit_merkletile",
        *("audit_attemptday", "audit_entryday", "audit_tally", "audit_talliedperiod"),
        *("audit_monthtally", "audit_daytally", "audit_talliedmonth"),
        *("audit_attempt.note", "audit_attemptcustomer.segment"),
    )

    def ready(self) -> None:
        from audit import checks  # noqa: F401 (registers the check)
