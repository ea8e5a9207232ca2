"""Reading the old dashboard's files: rows as they are, and single values as we understand them."""

import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from audit.models import CID_LENGTH
from tmsdash.tokens import looks_like_token

# The columns of each table that the import needs.
JOBS = {
    "jobs": "job_id user_id batch_id action_code action_name cluster_url created_at status request_payload "
    "response_summary",
    "job_customers": "job_id cid",
}
AUDIT = {"audit_log": "user_id action_type customer_ids timestamp ip_address status error_message duration_ms"}
HIDDEN = "[hidden by the import]"
_SECRET_NAME = re.compile("token|authorization|bearer|password|secret", re.IGNORECASE)
_TIME_OUT = re.compile(r"time[ds]?[ -]?out|deadline", re.IGNORECASE)
_NAMESPACE = uuid.UUID("0d9c6b8e-5a44-4b6f-9d0c-2f6f6d1c7a11")  # of ids that are made from what an old row says

Row = dict[str, Any]


class BadFileError(Exception):
    """A file is not one of the old dashboard's. The text says why, as a sentence."""


class BadRowError(ValueError):
    """A row cannot be imported. The text says why, in words that follow its number."""


@contextmanager
def opened(path: Path, tables: dict[str, str]) -> Iterator[sqlite3.Connection]:
    """Open a file for reading only; raises BadFileError unless it has these tables with these columns."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            database.text_factory = lambda raw: raw.decode(errors="replace")
            for table, columns in tables.items():
                lacking = set(columns.split()) - {
                    row["name"] for row in database.execute(f"PRAGMA table_info({table})")
                }
                if lacking:
                    raise BadFileError(
                        f"{path} is none of the old dashboard's: {table} lacks {', '.join(sorted(lacking))}."
                    )
            yield database
    except sqlite3.Error as error:
        raise BadFileError(f"{path} cannot be read: {error}.") from None


def rows_of(database: sqlite3.Connection, table: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a table, each with its number, in their order."""
    for row in database.execute(f"SELECT rowid AS _number, * FROM {table} ORDER BY rowid"):  # noqa: S608 (constants)
        values = dict(row)
        yield values.pop("_number"), values


def index_customers(database: sqlite3.Connection) -> None:
    """Index the customers by job in a temporary table: the file itself may have no index."""
    database.execute(
        "CREATE TEMP TABLE customer AS SELECT rowid AS number, CAST(job_id AS TEXT) AS job_id, cid FROM job_customers"
    )
    database.execute("CREATE INDEX temp.customer_by_job ON customer (job_id, number)")


def customers_of(database: sqlite3.Connection, job_id: Any) -> list[tuple[int, Any]]:
    """Return the ids of a job, each with the number of its row, in their order."""
    query = "SELECT number, cid FROM customer WHERE job_id = CAST(? AS TEXT) ORDER BY number"
    return [(number, cid) for number, cid in database.execute(query, [job_id])]


def customers_of_nothing(database: sqlite3.Connection) -> Iterator[int]:
    """Yield the numbers of the rows of customers that belong to no job."""
    query = (
        "SELECT number FROM customer WHERE job_id IS NULL OR job_id NOT IN "
        "(SELECT CAST(job_id AS TEXT) FROM jobs WHERE job_id IS NOT NULL) ORDER BY number"
    )
    for (number,) in database.execute(query):
        yield number


# -- Values -------------------------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Return a value as trimmed text, which is empty if there is none."""
    return "" if value is None else str(value).strip()


def id_of(value: Any) -> uuid.UUID:
    """Return a job's id; an id that is no UUID is turned into one. Raises BadRowError if it is missing."""
    text = text_of(value)
    if not text:
        raise BadRowError("it has no job_id")
    return uuid_or_none(text) or uuid.uuid5(_NAMESPACE, f"job {text}")


def id_of_log_row(number: int, row: Row) -> uuid.UUID:
    """Return the id of a row of the audit log, always the same for the same row."""
    return uuid.uuid5(_NAMESPACE, json.dumps([number, row], sort_keys=True, default=str))


def uuid_or_none(value: Any) -> uuid.UUID | None:
    """Return a UUID if the value is one."""
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return None


def time_of(value: Any, zone: tzinfo) -> datetime:
    """Return a time in UTC; one without an offset is of `zone`. Raises BadRowError if it is none."""
    try:
        time = datetime.fromisoformat(str(value).strip())
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadRowError(f"{str(value)[:40]!r} is no time") from None


def cid_of(value: Any) -> str:
    """Return a customer id; raises BadRowError if it is none."""
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not 0 < len(text) <= CID_LENGTH or "\0" in text:
        raise BadRowError(f"{str(value)[:40]!r} is no customer id")
    if looks_like_token(text):
        raise BadRowError("a token stands where a customer id belongs")
    return text


def cids_of_json(value: Any) -> tuple[str, ...]:
    """Return the ids of a JSON text, each once, in their order; raises BadRowError if it is no list of ids."""
    if value in (None, ""):
        return ()
    try:
        items = json.loads(str(value))
    except ValueError:
        raise BadRowError("customer_ids is not JSON") from None
    if isinstance(items, (str, int)):
        items = [items]
    if not isinstance(items, list):
        raise BadRowError("customer_ids is no list")
    return tuple(dict.fromkeys(map(cid_of, items)))


def json_of(value: Any) -> Any:
    """Return what a JSON text holds, or the text itself, without tokens."""
    if value is None:
        return {}
    try:
        return without_secrets(json.loads(str(value), parse_constant=str))
    except (ValueError, RecursionError):
        return without_secrets(str(value))


def without_secrets(value: Any) -> Any:
    """Return a JSON value without anything that looks like a token or stands where tokens usually stand."""
    if isinstance(value, dict):
        parts = {name: HIDDEN if _SECRET_NAME.search(name) else without_secrets(part) for name, part in value.items()}
        return {_storable(name): part for name, part in parts.items()}
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    if isinstance(value, str):
        text = _storable(value)
        return HIDDEN if looks_like_token(text) or re.search(r"bearer\s+\S", text, re.IGNORECASE) else text
    return value


def _storable(text: str) -> str:
    """Return the text without characters that some database refuses."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def is_time_out(row: Row) -> bool:
    """Tell whether a failed row looks like a time-out, after which TMS may have acted."""
    words = f"{row.get('error_message') or ''} {row.get('response_summary') or ''}"
    return str(row.get("http_status")) in ("408", "504") or _TIME_OUT.search(words) is not None
