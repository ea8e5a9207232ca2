"""The fixtures that the tests of this folder share."""

from setactions.operations.tests.nginx_front import front  # noqa: F401
from setactions.operations.tests.restores import backup, edited  # noqa: F401
