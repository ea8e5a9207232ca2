"""A CSV file of accounts, read and checked as a whole: what it says of each, or all that is wrong with it.

The file says what it has a column for. A column that it has not leaves existing accounts as they are, and so does an
empty cell under *staff* and *active*; an empty cell under any other column says that there is none.
"""

import csv
import difflib
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError

from audit.accounts.forms import refuse_token
from tmsdash.accounts import AUDITORS, OPERATORS
from tmsdash.text import one_line
from tmsdash.user_names import check_new_name

TEXTS = ("email", "first_name", "last_name")
FLAGS = {"staff": "is_staff", "active": "is_active"}
COLUMNS = ("username", *TEXTS, "groups", *FLAGS)
MAX_BYTES = 5 << 20
_SEPARATORS = re.compile("[;,|]")
_WORDS = dict.fromkeys(("yes", "true", "1"), True) | dict.fromkeys(("no", "false", "0"), False)


class Problem(NamedTuple):
    """What is wrong, and in which line of the file, counted from 1."""

    line: int
    message: str


class BadFileError(Exception):
    """The file as a whole cannot be taken; `problems` says why, in the order of the lines."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


@dataclass
class Change:
    """What becomes of one account: its fields that get another value, and its groups where these are others."""

    name: str
    user: User | None
    fields: dict[str, Any]
    groups: list[Group] | None = None

    @property
    def changed(self) -> list[str]:
        """The names of what is changed, for people and the audit."""
        return [*self.fields, *(["groups"] if self.groups is not None else [])]


def read_changes(path: Path) -> list[Change]:
    """Return what the file changes, with `changed` empty for accounts that are as it says. Raises BadFileError."""
    rows = list(_rows(path))
    users = {user.username: user for user in User.objects.prefetch_related("groups")}
    groups = {group.name: group for group in Group.objects.all()}
    problems: list[Problem] = []
    changes: list[Change] = []
    first_lines: dict[str, int] = {}
    for line, row in rows:
        try:
            name = row["username"]
            if name.lower() in first_lines:
                raise ValidationError(f"Line {first_lines[name.lower()]} is for the same user.")
            first_lines[name.lower()] = line
            changes.append(_change(row, users.get(name), groups))
        except ValidationError as wrong:
            problems += [Problem(line, one_line(message)) for message in wrong.messages]
    if problems:
        raise BadFileError(*problems)
    return changes


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each row's line and its cells by column. Raises BadFileError."""
    try:
        with path.open("rb") as file:  # which may be no file that tells its length
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise BadFileError(Problem(1, f"The file is longer than {MAX_BYTES >> 20} MiB."))
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise BadFileError(Problem(1, f"The file cannot be read: {error.strerror}.")) from None
    except UnicodeDecodeError:
        raise BadFileError(Problem(1, "The file is not UTF-8 text. Save it as CSV UTF-8.")) from None
    first = re.split("[\r\n]", text, maxsplit=1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=";" if ";" in first else ",")
    try:
        header = [cell.strip().lower().replace(" ", "_") for cell in next(reader, [])]
        _check_header(header)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                message = f"The line has {len(cells)} cells, and the header {len(header)}."
                raise BadFileError(Problem(reader.line_num, message))
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise BadFileError(Problem(reader.line_num, f"This is no CSV: {error}.")) from None


def _check_header(header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    if "password" in unknown:
        message = "The file has a column of passwords, which this command does not take: it makes them itself."
    elif unknown:
        message = f"There is no column {unknown[0]!r}. The columns are {', '.join(COLUMNS)}."
    elif "username" not in header or len(set(header)) < len(header):
        message = f"The first line has to name each column once, username among them: {', '.join(COLUMNS)}."
    else:
        return
    raise BadFileError(Problem(1, one_line(message)))


def _change(row: dict[str, str], user: User | None, groups: dict[str, Group]) -> Change:
    """Return what a row changes. Raises ValidationError with all that is wrong with it."""
    wrong: list[ValidationError] = []

    def checked(check: Callable[[], Any]) -> Any:
        try:
            return check()
        except ValidationError as error:
            wrong.append(error)
            return None

    name = row["username"]
    if user is None:
        checked(lambda: check_new_name(name))
    values: dict[str, Any] = {column: row[column] for column in TEXTS if column in row}
    for column, value in values.items():
        checked(lambda column=column, value=value: _check_text(column, value))  # type: ignore[misc]
    for column, field in FLAGS.items():
        if row.get(column):
            values[field] = checked(lambda column=column: _flag(column, row[column]))  # type: ignore[misc]
    chosen = checked(lambda: _groups(row["groups"], groups)) if "groups" in row else None
    if wrong:
        raise ValidationError(wrong)
    fields = {field: value for field, value in values.items() if value != getattr(user or User(), field)}
    groups_before = set(user.groups.all()) if user else set()
    change = Change(name, user, fields, chosen if chosen is not None and set(chosen) != groups_before else None)
    if user and user.is_superuser and change.changed:
        raise ValidationError(f"{name} is a superuser, whom only a superuser changes, in the admin.")
    return change


def _check_text(column: str, value: str) -> None:
    refuse_token(value)
    if not value.isprintable():
        raise ValidationError(f"{column}: it holds characters that nobody sees. Type it anew.")
    try:
        User._meta.get_field(column).clean(value, None)  # type: ignore[union-attr]
    except ValidationError as error:
        raise ValidationError([f"{column}: {message}" for message in error.messages]) from None


def _flag(column: str, value: str) -> bool:
    if value.lower() not in _WORDS:
        raise ValidationError(f"{column}: write yes or no, not {value!r}.")
    return _WORDS[value.lower()]


def _groups(cell: str, groups: dict[str, Group]) -> list[Group]:
    names = list(dict.fromkeys(name.strip() for name in _SEPARATORS.split(cell) if name.strip()))
    for name in names:
        if name not in groups:
            near = difflib.get_close_matches(name.title(), groups, n=1)
            guess = f"Is {near[0]} meant?" if near else f"There are {', '.join(sorted(groups))}."
            raise ValidationError(f"groups: there is no group {name!r}. {guess}")
    if {AUDITORS, OPERATORS} <= {*names}:
        raise ValidationError(
            f"groups: an account in {AUDITORS} sends nothing, so leave {OPERATORS} out, or the other."
        )
    return [groups[name] for name in names]
