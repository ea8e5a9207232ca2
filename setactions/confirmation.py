"""Typing the number of customers, before many of them or those of a production cluster are moved."""

import re

from django.conf import settings

from setactions.refusal import Refusal
from setactions.tms.clusters import Cluster

FIELD = "confirm"


def must_type_count(cluster: Cluster, customer_count: int) -> bool:
    """Tell whether the number of customers is asked for: on production clusters, and from TMS_CONFIRM_ABOVE on."""
    return cluster.is_production or customer_count >= settings.TMS_CONFIRM_ABOVE


def check_typed_count(text: str, customer_count: int) -> None:
    """Raise Refusal (400) unless `text` is the number of customers, with or without thousands separators."""
    digits = re.sub(r"[,.\u2019'\s]", "", text)
    if not digits:
        raise Refusal(400, FIELD, "Type the number of customers, as the page shows it, to confirm.")
    if digits != str(customer_count):
        sentence = f"{text.strip()[:20]} is not the number of customers, which is {customer_count:,}. Look at the list."
        raise Refusal(400, FIELD, sentence)
