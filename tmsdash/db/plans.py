"""Through which index SQLite looks for the rows of a list that is narrowed by several columns.

Without statistics SQLite takes every index for equally good, and those of an old sample mislead it. PostgreSQL keeps
statistics of its own. A list is in the order of keys, or in another that is named, so:

1. Only an index that has the columns of the order behind its first one is of use, and it is the one of the filter that
   keeps the fewest rows within the bounds of these columns. Counting them reads that index alone.
2. Every other condition is tested row by row, that on the time as well unless the list is in its order: its index
   cannot give another.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from django.db import connections
from django.db.models import F, Func, Model, Q, QuerySet, UniqueConstraint
from django.db.models.expressions import Col
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, In, LessThan, LessThanOrEqual, Lookup
from django.db.models.sql.where import AND, WhereNode

from tmsdash.db.expressions import Apart, Unindexed

COMPARED = 10_000  # rows that a filter keeps: up to so many, filters are compared

Spellings = Mapping[str, type[Func] | None]  # how conditions spell columns; None for as they are


def planned(queryset: QuerySet[Any], through: str = "", order: Sequence[str] = ()) -> QuerySet[Any]:
    """Return the same rows, which the database looks for through the index that leads to them fastest.

    Unless the index of which column that is, is known: `through`. `order` are the columns of the list's order, if that
    is not the one of keys.
    """
    model, where = queryset.model, queryset.query.where
    order, lookups, equal, indexed = _read(queryset, order)
    if connections[queryset.db].vendor == "sqlite":
        chosen = through or _chosen(model, lookups, equal, indexed, order)
        as_they_are = order if chosen is None or chosen in indexed else ()  # the index has them, too
        names = {field.name for field in model._meta.fields if not field.unique}.difference(as_they_are)
        tested = dict.fromkeys(names, Unindexed)
        spellings: Spellings = tested | ({chosen: indexed.get(chosen)} if chosen else {})
    else:
        spellings = indexed
    changed = queryset.all()
    changed.query.where = _respelled(where, spellings, _slack_bounds(model, lookups))
    return changed


def rarest_column(queryset: QuerySet[Any]) -> str:
    """Return the column through whose index `planned` looks for these rows on SQLite; "" for that of the key alone."""
    order, lookups, equal, indexed = _read(queryset, ())
    return _chosen(queryset.model, lookups, equal, indexed, order) or ""


def _read(queryset: QuerySet[Any], order: Sequence[str]) -> tuple[list[str], list[Any], dict[str, Any], Spellings]:
    """Return the order of a list, what all rows meet, which columns equal what, and how indexed ones are spelled."""
    order = [*(order or (queryset.model._meta.pk.name,))]
    lookups = [*_lookups(queryset.query.where)]
    equal = {lookup.lhs.target.name: lookup.rhs for lookup in lookups if isinstance(lookup, Exact)}
    return order, lookups, equal, dict(_ordered(queryset.model, order, equal))


def _chosen(
    model: type[Model], lookups: list[Any], equal: Mapping[str, Any], indexed: Spellings, order: list[str]
) -> str | None:
    """Return the name of the column whose index is to be used; None for that of the order alone."""
    for index in model._meta.indexes:
        if index.condition and index.fields == order and (exceptional := _exceptional(index.condition, equal)):
            return exceptional
    for lookup in lookups:
        if not _is_range(lookup) and (lookup.lhs.target.unique or isinstance(lookup, In)):
            return str(lookup.lhs.target.name)
    if few := _with_few_rows(model).intersection(equal):
        return min(few)
    candidates = [name for name in indexed if name in equal]
    bounds = Q(*(lookup for lookup in lookups if _is_range(lookup) and lookup.lhs.target.name in order))
    if len(candidates) < 2:
        return next(iter(candidates), None)
    alternatives = {
        name: model._default_manager.filter(bounds, Exact((indexed[name] or F)(name), equal[name]))
        for name in candidates
    }
    return min(_frequencies(alternatives, [f"-{name}" for name in order]))[-1]


def _frequencies(alternatives: Mapping[str, QuerySet[Any]], newest_first: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return how many of its newest rows each column keeps, and the first key among them, in one statement."""
    selects, parameters, using = [], [], ""
    for number, rows in enumerate(alternatives.values()):
        using = rows.db
        newest = rows.order_by(*newest_first).values(key=F("pk"))[:COMPARED]
        sql, given = newest.query.get_compiler(using).as_sql()
        selects.append(f"SELECT {number}, count(*), coalesce(min(newest.key), 0) FROM ({sql}) AS newest")  # noqa: S608 (names of ours)
        parameters += given
    with connections[using].cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), parameters)
        names = [*alternatives]
        return [(count, reach, names[number]) for number, count, reach in cursor.fetchall()]


def _exceptional(condition: Q, equal: Mapping[str, Any]) -> str | None:
    """Return a column whose test makes it certain that rows are in an index with this condition, which few are."""
    names = [str(name) for name, value in condition.children if name in equal and equal[name] == value]  # type: ignore[misc]
    is_met = bool(names) and (condition.connector == Q.OR or len(names) == len(condition.children))
    return names[0] if is_met and not condition.negated else None


def _with_few_rows(model: type[Model]) -> set[str]:
    """Return the columns of which a value has a few rows, whatever their number, because they belong to one thing."""
    fields: Iterable[Any] = model._meta.fields
    alone = {field.name for field in fields if field.db_index and not field.unique}
    alone |= {index.fields[0] for index in model._meta.indexes if len(index.fields) == 1}
    return alone | {str(part.fields[0]) for part in model._meta.constraints if isinstance(part, UniqueConstraint)}


def _ordered(model: type[Model], order: list[str], equal: Mapping[str, Any]) -> Iterator[tuple[str, type[Func] | None]]:
    """Yield the columns with an index that has nothing but the order behind them, and how it spells them.

    One of some rows only counts if the rows that are looked for, of which columns `equal` values, are among them.
    """
    for index in model._meta.indexes:
        if index.fields and (index.condition is None or _exceptional(index.condition, equal)):
            column, *others = (name.lstrip("-") for name in index.fields)
            if others == order:
                yield column, None
        elif index.expressions and isinstance(index.expressions[0], Apart) and order == [model._meta.pk.name]:
            yield index.expressions[0].column, Apart


def _lookups(where: WhereNode) -> Iterator[Any]:
    """Yield the comparisons of a column with a value that all rows meet."""
    if where.connector == AND and not where.negated:
        for child in where.children:
            if isinstance(child, WhereNode):
                yield from _lookups(child)
            elif isinstance(child, Lookup) and isinstance(child.lhs, Col):
                yield child


def _slack_bounds(model: type[Model], lookups: list[Any]) -> list[Any]:
    """Return the bounds of the key that others are within. SQLite goes by any one of them, and tests the others."""
    slack = []
    for kinds, tightest in (((GreaterThan, GreaterThanOrEqual), max), ((LessThan, LessThanOrEqual), min)):
        bounds = [each for each in lookups if isinstance(each, kinds) and each.lhs.target == model._meta.pk]
        if len(bounds) > 1 and all(isinstance(each.rhs, int) for each in bounds):
            bounds.remove(tightest(bounds, key=attrgetter("rhs")))
            slack += bounds
    return slack


def _respelled(where: WhereNode, spellings: Spellings, slack: list[Any]) -> WhereNode:
    """Return conditions that spell columns as given, and look for nothing by bounds that are `slack`."""
    changed = where.clone()
    for number, child in enumerate(changed.children):
        if isinstance(child, WhereNode):
            changed.children[number] = _respelled(child, spellings, slack)
        elif isinstance(child, Lookup) and isinstance(child.lhs, Col):
            is_slack = any(child is bound for bound in slack)
            is_spelled = isinstance(child, (Exact, GreaterThanOrEqual, LessThanOrEqual))
            spelling = Unindexed if is_slack else spellings.get(child.lhs.target.name) if is_spelled else None
            if spelling:
                respelled: Any = copy.copy(child)
                respelled.lhs = spelling(child.lhs)
                changed.children[number] = respelled
    return changed


def _is_range(lookup: Any) -> bool:
    return not isinstance(lookup, (Exact, In))
