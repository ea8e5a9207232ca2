"""Confirming a Set Action by typing the number of customers: for long lists and on production clusters."""

import re

from django.conf import settings

from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster

FIELD = "confirm"


def must_type_count(cluster: Cluster, customer_count: int) -> bool:
    """Tell whether the number must be typed: always on production clusters, elsewhere from TMS_CONFIRM_ABOVE on."""
    return cluster.is_production or customer_count >= settings.TMS_CONFIRM_ABOVE


def check_typed_count(text: str, customer_count: int) -> None:
    """Raise Refusal (400) unless `text` is the number of customers, with or without thousands separators."""
    digits = re.sub(r"[,.\u2019'\s]", "", text)
    if not digits:
        raise Refusal(400, FIELD, "To confirm, type the number of customers that is shown.")
    if digits != str(customer_count):
        sentence = f"{text.strip()[:20]} is not the number of customers, which is {customer_count:,}. Check the list."
        raise Refusal(400, FIELD, sentence)
