"""App status runs with what they read, and the runbook that explains messages of TMS and of apps."""

import uuid

from django.db import models

from audit.models import CID_LENGTH, USER_ID_LENGTH
from jobs.models.live import PROBLEM_LENGTH, URL_LENGTH
from tmsdash.db import clock
from tmsdash.db.broken_rows import CheckedRow

TEXT_LENGTH = 500


class AppRun(CheckedRow):
    """The reading of `get/appstatus` for a selection of customers of one cluster, one customer after the other.

    Whoever carries it has its user's token in memory, and holds a lease until `runner_until`, like that of a batch.
    What a runner must know to go on with what another one began is here, too.
    """

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        PAUSED = "paused", "Paused"
        STOPPED = "stopped", "Stopped"
        DONE = "done", "Done"

    run_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    user_id = models.CharField("user", max_length=USER_ID_LENGTH)
    cluster_url = models.CharField("cluster", max_length=URL_LENGTH)
    selection = models.CharField(max_length=TEXT_LENGTH, help_text="of which customers, in words")
    job_id = models.UUIDField(null=True, editable=False, help_text="the job whose customers they are")
    customer_count = models.PositiveIntegerField("customers")
    created_at = models.DateTimeField("time")
    ended_at = models.DateTimeField("ended", null=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    reason = models.CharField(max_length=TEXT_LENGTH, blank=True, help_text="why it does not go on")
    runner = models.CharField(max_length=128, blank=True)
    runner_until = models.DateTimeField(null=True)
    turn = models.PositiveIntegerField(db_default=0, default=0, help_text="that is next, of those that tasks take")
    due_at = models.DateTimeField(null=True, help_text="before when nobody is read")
    paused_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(db_default=0, default=0, help_text="reads in a row that said nothing")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["user_id", "id"], name="app_run_by_user"),
            models.Index(
                fields=["state"], name="app_run_unfinished", condition=models.Q(state__in=["running", "paused"])
            ),
        ]

    def __str__(self) -> str:
        return str(self.run_id)

    @property
    def has_runner(self) -> bool:
        """Whether a process carries it, which has the token."""
        return bool(self.runner) and self.runner_until is not None and self.runner_until > clock.now("jobs")


class AppRunCustomer(CheckedRow):
    """A customer of a run: not read yet, read, or a failed read with its reason, which says nothing of its apps."""

    class State(models.TextChoices):
        WAITING = "waiting", "Not read yet"
        READ = "read", "Read"
        FAILED = "failed", "Could not be read"

    class Health(models.TextChoices):
        READY = "ready", "All ready"
        FAILURE = "failure", "At least one failed"
        UNSETTLED = "unsettled", "In transit or unknown"

    run = models.ForeignKey(AppRun, on_delete=models.CASCADE, related_name="customers", db_index=False)
    position = models.PositiveIntegerField()
    cid = models.CharField("customer id", max_length=CID_LENGTH)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    health = models.CharField(max_length=16, choices=Health.choices, blank=True, help_text="of what was read")
    problem = models.CharField(max_length=PROBLEM_LENGTH, blank=True)
    read_at = models.DateTimeField("read", null=True)
    tries = models.PositiveSmallIntegerField(db_default=0, default=0, help_text="reads that failed")
    due_at = models.DateTimeField(null=True, help_text="when the next one may be, after one that failed")

    class Meta:
        ordering = ["run", "position"]
        constraints = [models.UniqueConstraint(fields=["run", "position"], name="app_run_customer_in_order")]
        indexes = [
            models.Index(fields=["run", "state", "position"], name="app_run_customer_by_state"),
            models.Index(fields=["run", "health", "position"], name="app_run_customer_by_health"),
        ]

    def __str__(self) -> str:
        return self.cid


class AppStatus(CheckedRow):
    """What a run read of one app of one customer: the status as TMS spells it, and the reason if it gave one."""

    customer = models.ForeignKey(AppRunCustomer, on_delete=models.CASCADE, related_name="apps")
    run = models.ForeignKey(AppRun, on_delete=models.CASCADE, related_name="+", db_index=False)
    app_name = models.CharField("app", max_length=128)
    status = models.CharField(max_length=64)
    reason = models.CharField(max_length=TEXT_LENGTH, blank=True)

    class Meta:
        verbose_name_plural = "app statuses"
        indexes = [models.Index(fields=["run", "app_name", "status"], name="app_status_by_app")]

    def __str__(self) -> str:
        return f"{self.app_name}: {self.status}"


class RunbookEntry(models.Model):
    """What a message of TMS or the reason of an app means in plain words, what to do next, and where to read more.

    `pattern` is text that the message contains, in any case; `*` stands for anything.
    """

    pattern = models.CharField(max_length=200, unique=True, help_text="text that the message contains; * is anything")
    meaning = models.CharField("in plain words", max_length=TEXT_LENGTH)
    next_step = models.CharField(max_length=TEXT_LENGTH, blank=True)
    link = models.URLField(max_length=500, blank=True, help_text="to the runbook")
    position = models.PositiveIntegerField(default=100, help_text="of several that match, the lowest counts")

    class Meta:
        ordering = ["position", "id"]
        verbose_name_plural = "runbook"

    def __str__(self) -> str:
        return self.pattern
