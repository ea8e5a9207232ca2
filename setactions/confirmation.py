"""Confirming a Set Action by giving the number of customers: for long lists and on production clusters.

People type it, on the pages and for the command; JSON has it as `"confirm": 25`.
"""

import re
from typing import Any

from django.conf import settings

from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster
from tmsdash.text import counted

FIELD = "confirm"


def must_type_count(cluster: Cluster, customer_count: int) -> bool:
    """Tell whether the number must be given: always on production clusters, elsewhere from TMS_CONFIRM_ABOVE on."""
    return cluster.is_production or customer_count >= settings.TMS_CONFIRM_ABOVE


def check_typed_count(text: str, customer_count: int) -> None:
    """Raise Refusal (400) unless `text` is the number of customers, with or without thousands separators."""
    digits = re.sub(r"[,.\u2019'\s]", "", text)
    if not digits:
        raise Refusal(400, FIELD, "To confirm, type the number of customers that is shown.")
    if digits != str(customer_count):
        sentence = f"{text.strip()[:20]} is not the number of customers, which is {customer_count:,}. Check the list."
        raise Refusal(400, FIELD, sentence)


def number_in(body: dict[str, Any]) -> int | None:
    """Return the number that a JSON body confirms, None without one; raises Refusal (400) if it is of another type."""
    number = body.get(FIELD)
    if FIELD in body and type(number) is not int:  # a bool is an int, too
        raise Refusal(400, FIELD, 'confirm must be the number of customers, such as "confirm": 25.')
    return number


def check_number(number: int | None, cluster: Cluster, customer_count: int) -> None:
    """Raise Refusal (400) if JSON confirms another number of customers, or none where TMS_JSON_CONFIRM asks for it."""
    todo = f'Check the list; if it is right, send it with "confirm": {customer_count}.'
    if number is None and settings.TMS_JSON_CONFIRM and must_type_count(cluster, customer_count):
        where = f"the production cluster {cluster.name}" if cluster.is_production else cluster.name
        raise Refusal(400, FIELD, f"This would go to {counted(customer_count, 'customer')} on {where}. {todo}")
    if number is not None and number != customer_count:
        what = f"confirm is not the number of customers, which is {customer_count:,}, each counted once."
        raise Refusal(400, FIELD, f"{what} {todo}")
