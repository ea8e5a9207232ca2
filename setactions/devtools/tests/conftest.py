"""The fixtures that the tests of this folder share."""

from setactions.devtools.tests.worlds import new_world, world, worlds  # noqa: F401
