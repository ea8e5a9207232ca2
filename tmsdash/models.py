"""What belongs to accounts, in the database of users and sessions."""

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
