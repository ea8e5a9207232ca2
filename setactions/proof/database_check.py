"""Whether the three databases hold what the migrations make, and nothing that acts on its own."""

from django.db import connections

from audit.proof import append_only
from tmsdash.db.migration import MIGRATE_FIRST, are_migrations_due
from tmsdash.db.schema import program_problems, schema_problems

# The audit's own triggers, whose text `audit_verify` compares.
PROGRAMS = {"audit": append_only.PROGRAMS}


def database_problems(*, full: bool, without: str = "") -> list[str]:
    """Return a sentence on everything that does not belong into a database, all of them but the one `without`.

    `full` looks at tables and indexes as well. What is not full runs every half a minute, beside live traffic, and
    looks for triggers and their like.

    Raises DatabaseError if one cannot be read.
    """
    look = schema_problems if full else program_problems
    aliases = [alias for alias in connections if alias != without]
    problems = [problem for alias in aliases for problem in look(alias, PROGRAMS.get(alias, frozenset()))]
    # Or else whatever a migration would add is said to be missing, and nothing what to do.
    return [MIGRATE_FIRST.strip(), *problems] if problems and full and are_migrations_due() else problems
