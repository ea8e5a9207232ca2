"""Columns that store a value in less room than Django would give it."""

from typing import Any

from django.db import models


def bytes_of(digits: Any) -> bytes:
    """Return the bytes that pairs of hex digits stand for.

    What is none is taken letter by letter: SQLite keeps whatever somebody wrote there, and it fits nothing then.
    """
    if isinstance(digits, bytes):
        return digits
    text = str(digits)
    try:
        stored = bytes.fromhex(text)
    except ValueError:
        stored = b""
    return stored if stored.hex() == text else text.encode()  # the first would take capitals and blanks, too


def digits_sql(column: str, vendor: str) -> str:
    """Return SQL for the hex digits of a HexField. SQLite says so if somebody stored a value that is no bytes."""
    if vendor == "postgresql":
        return f"encode({column}, 'hex')"
    kind = f"CASE typeof({column}) WHEN 'blob' THEN '' WHEN 'null' THEN NULL ELSE typeof({column}) || ' ' END"
    return f"{kind} || lower(hex({column}))"


class HexField(models.Field):  # type: ignore[type-arg]  # at run time it takes none
    """Pairs of hex digits in lower case, stored as the bytes that they stand for: in half the room."""

    def get_internal_type(self) -> str:
        """Return the kind of column that it has."""
        return "BinaryField"

    def get_prep_value(self, value: Any) -> Any:
        """Return what the database stores, or is asked for."""
        return None if value is None else bytes_of(value)

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        """Return how it is asked for. SQLite gives the digits themselves: of a text, Python might not make one."""
        is_sqlite = compiler.connection.vendor == "sqlite"
        return (digits_sql(sql, "sqlite"), params * 3) if is_sqlite else (sql, params)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        """Return the digits of what the database stores."""
        return value if value is None or isinstance(value, str) else bytes(value).hex()
