"""Rows that hold what their columns do not take: written by hand, past the product.

1. A page shows nothing of such a row: whoever asks for one is told which row it is, in the place of the page.
2. What runs without a request, such as `reconcile` and `audit_verify`, reads on: it compares rows with what was
   signed, and names those that do not fit.
"""

import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache
from traceback import walk_tb
from typing import Any, Self

from django.db import OperationalError, models
from django.db.models.sql import compiler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

_are_pages_made: ContextVar[bool] = ContextVar("are_pages_made", default=False)
_TYPES: dict[type, type] = {
    models.UUIDField: uuid.UUID,
    models.DateTimeField: datetime,
    models.BooleanField: bool,
    models.IntegerField: int,
    models.CharField: str,
    models.TextField: str,
}
# Where Django turns what a database's driver gave into values.
_CONVERSION = frozenset({"apply_converters", "cursor_iter", "results_iter"})


class BrokenRowError(OperationalError):
    """The text is a sentence that names the row. It is the database that fails, not the statement."""


class CheckedRow(models.Model):
    """A row whose values are compared with its columns when a page is made of it."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **options: Any) -> Self:
        """Return the row; raises BrokenRowError, if a page is being made, unless its values fit its columns."""
        row = super().from_db(db, field_names, values, **options)
        if _are_pages_made.get():
            columns = _columns_of(cls)
            for name, value in zip(field_names, values, strict=True):
                if not _fits(value, *columns.get(name, (None, None, True))):
                    raise BrokenRowError(f"The column {name} of {cls._meta.db_table} {row.pk} holds no such value.")
        return row


@cache
def _columns_of(model: type[models.Model]) -> dict[str, tuple[type | None, int | None, bool]]:
    """Return what each column takes: type, length, and whether it may be empty."""
    return {
        field.attname: (
            next((kind for column, kind in _TYPES.items() if isinstance(field, column)), None),
            getattr(field, "max_length", None),
            field.null,
        )
        for field in model._meta.concrete_fields
    }


def _fits(value: Any, kind: type | None, length: int | None, may_be_null: bool) -> bool:
    if value is None:
        return may_be_null
    if kind is None:
        return True
    return isinstance(value, kind) and not (length and isinstance(value, str) and len(value) > length)


@contextmanager
def _pages_made() -> Iterator[None]:
    token = _are_pages_made.set(True)
    try:
        yield
    finally:
        _are_pages_made.reset(token)


def check_rows(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Return middleware: rows of which a page is made are checked."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        with _pages_made():
            return get_response(request)

    return answer


@contextmanager
def broken_rows_named() -> Iterator[None]:
    """Raise BrokenRowError in the place of what Django raises for a value of which it can make nothing."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if sentence := explain(error):
            raise BrokenRowError(sentence) from error
        raise


def explain(error: BaseException | None) -> str:
    """Return the sentence that names the broken row behind an error; "" if there is none."""
    if isinstance(error, BrokenRowError):
        return str(error)
    if isinstance(error, TypeError | ValueError | OverflowError):
        for frame, _ in walk_tb(error.__traceback__):
            if frame.f_code.co_filename == compiler.__file__ and frame.f_code.co_name in _CONVERSION:
                return "A row of a database holds a value that its column does not take."
    return ""
