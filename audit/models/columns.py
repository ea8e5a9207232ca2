"""What columns and indexes of several tables have in common."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.db import models

USER_ID_LENGTH = 150  # Django's user names
CID_LENGTH = 128
NOTE_LENGTH = 200


def any_of(field: str, values: Iterable[str]) -> models.Q:
    """Return the condition of an index of rows whose field has one of these values.

    Each is an alternative of its own, so that SQLite sees that whoever asks for one asks for some of these rows.
    """
    return reduce(or_, (models.Q(**{field: str(value)}) for value in values))
