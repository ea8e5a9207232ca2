"""The simulated customers, their states, and what TMS says about them."""

import hashlib
import threading
from collections.abc import Collection, Sequence
from typing import Any, Final

ACTION_NAMES: Final = {1: "trans-begin", 2: "pe-enable", 3: "t-enable", 4: "pe-finalize", 5: "pe-direct"}
ACTION_CODES: Final = {name: code for code, name in ACTION_NAMES.items()} | {"tran-begin": 1}

ACCEPTED: Final = {"message": "Sending action to migration services", "success": True}
"""TMS's answer to a set/action that it carries out."""

ALL: Final = "ALL"
"""Stands for all customers, or all applications, in a read."""

_APPS: Final = ("alerts", "audit", "device-inventory", "licensing", "monitoring", "reports", "topology", "webhooks")
# Picked by a hash of customer and application: most are Ready, each other status turns up somewhere.
_STATUSES: Final = (
    {"status": "Failure", "reason": "3 of 120 records were not migrated"},
    {"status": "Transiting"},
    {"status": "Inapplicable"},
    {"status": "unknown-timeout"},
    *({"status": "Ready"},) * 12,
)


def fleet_ids(size: int) -> list[str]:
    """Return the ids of a fleet of `size` customers: always the same ones, and all different.

    Most are 32 hex characters; a few are 7-digit numbers or names of 10 or 14 characters.
    """
    return [_fleet_id(index) for index in range(size)]


def _fleet_id(index: int) -> str:
    thousands, rest = divmod(index, 1000)
    match index % 50:
        case 3:
            return str(1_000_000 + index)
        case 15:
            return f"alpha{thousands + 1}_sub_{rest:03}"
        case 27:
            return f"alpha{thousands + 1}_{rest:03}"
        case _:
            return hashlib.md5(f"customer {index}".encode(), usedforsecurity=False).hexdigest()


def refusal(message: str) -> dict[str, Any]:
    """Return TMS's answer to a set/action that it does not carry out."""
    return {"message": message, "success": False}


def unknown_ids_refusal(cids: Sequence[str]) -> dict[str, Any]:
    """Return TMS's answer when these customers do not exist."""
    return refusal(f"those CIDs {list(cids)} do not exist")


class Fleet:
    """Customers and the last action of each; safe to use from many threads."""

    def __init__(self, cids: Collection[str] | None) -> None:
        """Let the customers with the given ids exist, and no others; None: every id exists."""
        self._existing = None if cids is None else frozenset(cids)
        self._codes: dict[str, int] = {}
        self._lock = threading.Lock()

    def set_action(self, action: str, cids: Sequence[str]) -> dict[str, Any]:
        """Carry out an action for all the customers, or for none of them, and say which."""
        code = ACTION_CODES.get(action.lower())
        if code is None:
            return refusal(f"Unknown action {action!r}")
        unknown = [cid for cid in cids if not self._exists(cid)]
        if unknown:
            return unknown_ids_refusal(unknown)
        with self._lock:
            self._codes.update(dict.fromkeys(cids, code))
        return ACCEPTED

    def actions(self, cids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the last action of each of these customers; those that have had none are absent."""
        with self._lock:
            codes = dict(self._codes)
        wanted = codes if ALL in cids else dict.fromkeys(cid for cid in cids if cid in codes)
        return {cid: {"action_code": codes[cid], "action_desc": ACTION_NAMES[codes[cid]]} for cid in wanted}

    def app_statuses(self, cids: Sequence[str], app: str) -> list[dict[str, str]]:
        """Return the status of one application (or ALL) for each of these customers; unknown ones are left out."""
        apps = [name for name in _APPS if app in (ALL, name)]
        return [{"app_name": name, **_status(cid, name)} for cid in cids if self._exists(cid) for name in apps]

    def _exists(self, cid: str) -> bool:
        return self._existing is None or cid in self._existing


def _status(cid: str, app: str) -> dict[str, str]:
    # surrogatepass: JSON may carry ids that are no proper Unicode, and they must not break the simulator.
    digest = hashlib.md5(f"{cid} {app}".encode(errors="surrogatepass"), usedforsecurity=False).digest()
    return _STATUSES[digest[0] % len(_STATUSES)]
