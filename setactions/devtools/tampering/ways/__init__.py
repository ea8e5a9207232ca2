"""All ways that are tried, by what is tampered with."""

from setactions.devtools.tampering.way import Way
from setactions.devtools.tampering.ways import archives, databases, entries, keys, rows, schema, seals

GROUPS: dict[str, list[Way]] = {
    "entries of the audit": entries.WAYS,
    "what is drawn from the entries, and jobs": rows.WAYS,
    "tables, indexes and triggers": schema.WAYS,
    "database files": databases.WAYS,
    "seals": seals.WAYS,
    "archives": archives.WAYS,
    "with keys in hand": keys.WAYS,
}
