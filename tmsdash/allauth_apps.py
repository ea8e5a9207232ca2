"""The apps of django-allauth, of which the site uses the client for OpenID Connect, codes and the tables of both.

Their `ready` would ask for a middleware and look for providers that none of our pages uses.
"""

from allauth.account.apps import AccountConfig as AllauthAccountConfig
from allauth.mfa.apps import MFAConfig as AllauthMFAConfig
from allauth.socialaccount.apps import SocialAccountConfig as AllauthSocialAccountConfig


class AccountConfig(AllauthAccountConfig):  # type: ignore[misc]
    """Addresses of mail, which the table of identities cannot do without; the site has none in it."""

    def ready(self) -> None:
        """Do nothing."""


class SocialAccountConfig(AllauthSocialAccountConfig):  # type: ignore[misc]
    """Which identity of the provider belongs to which account."""

    def ready(self) -> None:
        """Do nothing."""


class MFAConfig(AllauthMFAConfig):  # type: ignore[misc]
    """Second factors of accounts."""

    def ready(self) -> None:
        """Do nothing."""
