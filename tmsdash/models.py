"""What belongs to accounts, and what the site knows of itself, in the database of users and sessions."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class InitialPassword(models.Model):
    """The user's password was given by somebody else, who knows it: it is good for choosing one's own only.

    The row is made with such a password, and goes when the user changes it.
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
    """The key that the site works with, by an id that does not tell the key: a host with another one is noticed."""

    name = models.CharField(max_length=32, primary_key=True, help_text="the setting's")
    key_id = models.CharField(max_length=16)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.key_id}"
