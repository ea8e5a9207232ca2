"""The list of an admin page over millions of rows: what it reads depends on what it shows, not on what there is.

1. It looks at the first MOST keys that match, in one query, and reads the rows of its page by their keys. Further rows
   are behind a link that continues the list behind the last of them, and are not counted.
2. It is in the order of keys, which every index has behind its own column. It is sorted by another column if no more
   than MOST rows match, which is quick whatever the column.
3. How the database finds them is said in tmsdash.db.plans.
"""

from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, ChangeList
from django.core.paginator import InvalidPage, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from tmsdash.db.plans import planned

MOST = 500  # rows, so ten pages


class LongList(ChangeList):
    """A list that is quick over millions of rows, whatever it is narrowed to."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        queryset = super().get_queryset(request, exclude_parameters)
        for name in behind_parameters(self.model):
            self.params.pop(name, None)  # a search is for all rows, not for those behind a key
        self.matching: QuerySet[Any] = queryset
        """The same rows, before it was planned how to find them in the list's order."""
        return planned(queryset)

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """Return the address of this list with other parameters. Only its pages continue it behind a key."""
        behind = behind_parameters(self.model)
        is_page = new_params and not new_params.keys().isdisjoint({PAGE_VAR, *behind})
        return super().get_query_string(new_params, [*(remove or ()), *(() if is_page else behind)])

    def get_results(self, request: HttpRequest) -> None:
        order = self.queryset.query.order_by
        by_key = order[0].lstrip("-") in ("pk", self.lookup_opts.pk.name)
        key_order = order[0] if by_key else "-pk"
        keys = list(self.queryset.order_by(key_order).values_list("pk", flat=True)[: MOST + 1])
        self.has_more = len(keys) > MOST
        if self.has_more and not by_key:
            messages.info(request, f"More than {MOST:,} rows match, too many to sort by that. Filter them first.")
            self.params.pop(ORDER_VAR)
            by_key = True
        keys = keys[:MOST]
        self._continuation = {behind_parameters(self.model)[not key_order.startswith("-")]: keys[-1] if keys else 0}
        self.paginator = Paginator(keys, self.list_per_page)
        self.result_count = len(keys)
        self.show_full_result_count = self.show_admin_actions = False
        self.full_result_count = None
        self.can_show_all = not self.has_more and self.result_count <= self.list_max_show_all
        self.multi_page = self.has_more or self.result_count > self.list_per_page
        try:
            page = self.paginator.page(self.page_num)
        except InvalidPage:
            raise IncorrectLookupParameters from None
        start = max(page.start_index() - 1, 0)
        shown = slice(None) if self.show_all and self.can_show_all else slice(start, page.end_index())
        if by_key:
            self.result_list = self.root_queryset.filter(pk__in=keys[shown]).order_by(key_order)
        else:
            self.result_list = self.root_queryset.filter(pk__in=keys).order_by(*order)[shown]

    @property
    def count_in_words(self) -> str:
        """How many rows match; of a list that was continued behind a key, how many behind that."""
        number = f"more than {MOST:,}" if self.has_more else f"{self.result_count:,}"
        return f"{number}{' further' if self.first_rows else ''}"

    @property
    def further_rows(self) -> str:
        """The address that continues the list behind its last page; "" if it does not go on."""
        is_last = self.page_num >= self.paginator.num_pages
        return self.get_query_string(self._continuation) if self.has_more and is_last else ""

    @property
    def first_rows(self) -> str:
        """The address of the beginning of a list that was continued behind a key; "" for any other."""
        is_first = self.filter_params.keys().isdisjoint(behind_parameters(self.model))
        return "" if is_first else self.get_query_string()


def behind_parameters(model: type[Model]) -> tuple[str, str]:
    """Return the names of the parameters that continue a list behind a key: of falling keys, and of growing ones."""
    key = model._meta.pk.name
    return f"{key}__lt", f"{key}__gt"
