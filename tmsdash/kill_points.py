"""Named places at which the tests kill the process, to prove that nothing is lost there."""

from collections.abc import Callable

from django.conf import settings
from django.utils.module_loading import import_string


def _do_nothing(name: str) -> None:
    """Stand for every kill point outside the tests."""


# Decided once, at import: only the tests' settings have KILL_POINT; no environment variable can set it.
_NAME: str | None = getattr(settings, "KILL_POINT", None)
kill_point: Callable[[str], None] = import_string(_NAME) if _NAME else _do_nothing
