"""Settings of the server that browsers are shown: the product's own, but for passwords that cost nothing to check."""

from tmsdash.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
