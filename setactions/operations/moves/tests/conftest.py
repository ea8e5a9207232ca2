"""The fixtures that the tests of this folder share."""

from setactions.operations.moves.tests.installations import site  # noqa: F401
