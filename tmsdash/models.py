"""Accounts' and the site's own data in the database of users and sessions.

Sessions are Django's own, as rows with columns that tell their owner and an administrator which is which.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY as ACCOUNT_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac

from tmsdash.session_users import read_session

# Kept in the session, from which each save copies them to the columns, so that they survive a change of its key.
BEGUN, SEEN = "begun_at", "seen_at"  # in seconds since 1970
ADDRESS, USER_AGENT = "address", "user_agent"  # of the last request that was noted
USER_AGENT_LENGTH = 200


class InitialPassword(models.Model):
    """Somebody else chose the user's password and knows it: it only serves to choose a new one.

    The row is created with such a password, and deleted when the user changes it.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="initial_password"
    )
    given_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()  # nobody changes it by hand

    def __str__(self) -> str:
        return f"initial password of {self.user}"


class SiteKey(models.Model):
    """The id, which does not reveal the key, of a key that the site uses: it exposes a host with another one."""

    name = models.CharField(max_length=32, primary_key=True, help_text="the setting's")
    key_id = models.CharField(max_length=16)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.key_id}"


class TimerRun(models.Model):
    """How one of the timers in tmsdash.timers ran: when it ended last, how, and when it succeeded last."""

    name = models.CharField(max_length=16, primary_key=True)
    ended_at = models.DateTimeField()
    succeeded = models.BooleanField(help_text="whether the run that ended last did")
    succeeded_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """Something that people are told of over one channel, see setactions.operations.notifications.

    It is to be sent while it has `due_at`. An event has the same `notice_id` for all channels, however often it is
    sent, and whoever looks for events writes it once.
    """

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        MAIL = "mail", "Mail"

    notice_id = models.UUIDField()
    channel = models.CharField(max_length=16, choices=Channel.choices)
    kind = models.CharField(max_length=32)
    content = models.TextField(help_text="as JSON, which never holds tokens or customer ids")
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True, help_text="why it could not be sent")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["notice_id", "channel"], name="notice_once_a_channel")]
        indexes = [models.Index(fields=["due_at"], name="notice_due", condition=models.Q(due_at__isnull=False))]

    def __str__(self) -> str:
        return f"{self.kind} {self.notice_id}"


class NoticeWatch(models.Model):
    """What was told already, in one row: whoever looks for events changes it only if nobody did so meanwhile."""

    version = models.PositiveBigIntegerField(default=0)
    told = models.TextField(default="", help_text="as JSON")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"watch {self.version}"


class AuditStream(models.Model):
    """How far a stream of the audit has come, see audit.stream: the last entry that its receiver took, and its mac.

    `holder` is the process that carries it, whose lease ends with `held_until`.
    """

    name = models.CharField(max_length=32, primary_key=True)
    sequence = models.BigIntegerField(help_text="0 before the first entry")
    mac = models.CharField(max_length=64)
    moved_at = models.DateTimeField()
    holder = models.CharField(max_length=150, blank=True)
    held_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.name} at {self.sequence}"


class KeptForm(models.Model):
    """What somebody typed in a form that arrived when their session was over, for them to go on with.

    `content` is what tmsdash.web.kept_forms sealed for the account before it had signed in again.
    """

    form_id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    account_id = models.BigIntegerField()
    kept_at = models.DateTimeField()
    content = models.TextField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["account_id", "-kept_at"], name="kept_forms_of_an_account")]

    def __str__(self) -> str:
        return f"kept form {self.form_id}"


class Banner(models.Model):
    """What administrators tell everybody at the top of every page, from `begins_at` to `ends_at` if these are given.

    It stops nothing. `tmsdash.banners` reads it.
    """

    class Kind(models.TextChoices):
        """What a banner is about."""

        MAINTENANCE = "maintenance", "Maintenance"
        FREEZE = "freeze", "Freeze"
        INFORMATION = "information", "Information"

        @property
        def symbol(self) -> str:
            """What stands before its word, for those who do not tell its colour."""
            return {"maintenance": "!", "freeze": "■", "information": "i"}[self]

        @property
        def tone(self) -> str:
            """The class of its colours."""
            return {"maintenance": "unsure", "freeze": "bad", "information": "info"}[self]

    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.MAINTENANCE)
    text = models.CharField(max_length=300, help_text="as it stands on every page; it tells people, and stops nothing")
    begins_at = models.DateTimeField("from", null=True, blank=True, help_text="left empty: at once")
    ends_at = models.DateTimeField("until", null=True, blank=True, help_text="left empty: until it is deleted")
    changed_by = models.CharField(max_length=150, editable=False)
    changed_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.text}"

    @property
    def vocabulary(self) -> "Banner.Kind":
        """Its kind, with symbol and tone; whatever else the database may hold is information."""
        return self.Kind(self.kind) if self.kind in self.Kind else self.Kind.INFORMATION

    def is_shown(self, at: datetime) -> bool:
        """Tell whether it is on the pages at a time."""
        return (self.begins_at is None or self.begins_at <= at) and (self.ends_at is None or at < self.ends_at)


class Session(AbstractBaseSession):
    """One session. Its key is its owner's secret, so that pages, addresses and logs name it by `public_id`."""

    account_id = models.BigIntegerField(null=True, db_index=True)
    begun_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=USER_AGENT_LENGTH, blank=True)
    wrong_passwords = models.PositiveSmallIntegerField(default=0, help_text="given for its account's old one")

    SAVED_FIELDS = ("session_data", "expire_date", "account_id", "begun_at", "seen_at", "address", "user_agent")

    def __str__(self) -> str:
        return f"session {self.public_id}"

    @classmethod
    def get_session_store_class(cls) -> type["SessionStore"]:
        return SessionStore

    @property
    def public_id(self) -> str:
        return public_id(self.session_key)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it; if it exists, without `wrong_passwords`, of which requests in flight may have an old count."""
        if kwargs.get("force_update"):
            kwargs["update_fields"] = self.SAVED_FIELDS
        super().save(*args, **kwargs)


class SessionStore(DatabaseSessionStore):
    """Django's database sessions, in our own table. `user` is the account that it was read with, if it names one."""

    user: User | None = None

    def load(self) -> dict[str, Any]:
        """Return the session's content; empty, and without a key, if it has ended."""
        row = read_session(self.session_key or "")
        if row is None:
            self._session_key = None
            return {}
        session_data, self.user = row
        content: dict[str, Any] = self.decode(session_data)
        return content

    def save_unless_ended(self) -> bool:
        """Save the session in one statement; False if somebody has ended it meanwhile."""
        row = self.create_model_instance(dict(self.items()))
        rows = Session.objects.filter(session_key=row.session_key)
        return bool(rows.update(**{name: getattr(row, name) for name in Session.SAVED_FIELDS}))

    @classmethod
    def get_model_class(cls) -> type[Session]:
        return Session

    def create_model_instance(self, data: dict[str, Any]) -> Session:
        row: Session = super().create_model_instance(data)  # type: ignore[assignment]
        row.account_id = int(data[ACCOUNT_KEY]) if ACCOUNT_KEY in data else None
        row.begun_at, row.seen_at = (_moment(data.get(name)) for name in (BEGUN, SEEN))
        row.address, row.user_agent = (data.get(name, "") for name in (ADDRESS, USER_AGENT))
        return row


def public_id(session_key: str) -> str:
    """Return an identifier of a session that does not open it."""
    return salted_hmac("tmsdash.models.Session", session_key, algorithm="sha256").hexdigest()[:32]


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
