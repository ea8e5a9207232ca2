"""The fixtures that the tests of this folder share."""

from setactions.operations.legacy.tests.old_dashboard import old  # noqa: F401
