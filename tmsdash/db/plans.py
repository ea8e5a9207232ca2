"""Through which index SQLite looks for the rows of a list that is narrowed by several columns.

Without statistics SQLite takes every index for equally good, and those of an old sample mislead it. PostgreSQL keeps
statistics of its own. A list is in the order of keys, so:

1. Only an index that has the key behind its first column is of use, and it is the one of the filter that keeps the
   fewest rows among the keys in question. Counting them reads that index alone.
2. Every other condition is tested row by row, that on the time as well: its index cannot give the order.
"""

import copy
from collections.abc import Iterator
from typing import Any

from django.db import connections
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, GreaterThanOrEqual, In, LessThanOrEqual, Lookup
from django.db.models.sql.where import AND, WhereNode

from tmsdash.db.expressions import Unindexed

COMPARED = 10_000  # rows that a filter keeps: up to so many, filters are compared


def planned(queryset: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same rows, which SQLite looks for through the index that leads to them fastest."""
    if connections[queryset.db].vendor != "sqlite":
        return queryset
    where = queryset.query.where
    chosen = _chosen(queryset.model, [*_lookups(where)])
    changed = queryset.all()
    changed.query.where = _tested_row_by_row(where, chosen)
    return changed


def _chosen(model: type[Model], lookups: list[Any]) -> str | None:
    """Return the name of the column whose index is to be used; None for that of the key, or of a unique column."""
    equal = {lookup.lhs.target.name: lookup.rhs for lookup in lookups if isinstance(lookup, Exact)}
    for index in model._meta.indexes:
        if index.condition and all(child in equal.items() for child in index.condition.children):
            return str(index.condition.children[0][0])  # of the few rows that are an exception
    if any(lookup.lhs.target.unique or isinstance(lookup, In) for lookup in lookups if not _is_range(lookup)):
        return None
    indexed = [name for name in _ordered_by_key(model) if name in equal]
    if len(indexed) < 2:
        return indexed[0] if indexed else None
    keys = Q(*(lookup for lookup in lookups if _is_range(lookup) and lookup.lhs.target.primary_key))

    def kept(name: str) -> int:
        rows = model._default_manager.filter(keys, **{name: equal[name]}).order_by()
        return rows[:COMPARED].count()

    return min(indexed, key=kept)


def _ordered_by_key(model: type[Model]) -> Iterator[str]:
    """Yield the columns with an index that has nothing but the key behind them."""
    for index in model._meta.indexes:
        column, *others = (name.lstrip("-") for name in index.fields)
        if others == [model._meta.pk.name] and not index.condition:
            yield column


def _lookups(where: WhereNode) -> Iterator[Any]:
    """Yield the comparisons of a column with a value that all rows meet."""
    if where.connector == AND and not where.negated:
        for child in where.children:
            if isinstance(child, WhereNode):
                yield from _lookups(child)
            elif isinstance(child, Lookup) and isinstance(child.lhs, Col):
                yield child


def _tested_row_by_row(where: WhereNode, chosen: str | None) -> WhereNode:
    """Return conditions in which no column but the chosen one, keys and unique columns is looked up in an index."""
    changed = where.clone()
    for number, child in enumerate(changed.children):
        if isinstance(child, WhereNode):
            changed.children[number] = _tested_row_by_row(child, chosen)
        elif isinstance(child, (Exact, GreaterThanOrEqual, LessThanOrEqual)) and isinstance(child.lhs, Col):
            column: Any = child.lhs.target
            if not column.unique and column.name != chosen:
                tested = copy.copy(child)
                tested.lhs = Unindexed(child.lhs)
                changed.children[number] = tested
    return changed


def _is_range(lookup: Any) -> bool:
    return not isinstance(lookup, (Exact, In))
