"""The fixtures that the tests of this folder share."""

from tmsdash.tests.fresh_settings import settings_of  # noqa: F401
