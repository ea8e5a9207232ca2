"""The files of the databases: gone, cut, exchanged, put back to earlier; without a key."""

from setactions.devtools.tampering.stranger import Stranger
from setactions.devtools.tampering.way import Way

DATABASES = ("audit.db", "jobs.db", "app.db")


def cut(stranger: Stranger) -> None:
    """Leave half of the file."""
    stranger.audit.write_bytes(stranger.audit.read_bytes()[: stranger.audit.stat().st_size // 2])


def overwrite(stranger: Stranger) -> None:
    """Write over the middle of each page behind the first ones."""
    content = bytearray(stranger.audit.read_bytes())
    for page in range(5 * 4096, len(content), 4096):
        content[page + 1000 : page + 1100] = b"x" * 100
    stranger.audit.write_bytes(content)


def make_folder(stranger: Stranger) -> None:
    stranger.audit.unlink()
    stranger.audit.mkdir()


def exchange(stranger: Stranger) -> None:
    """Put the jobs in the place of the audit."""
    stranger.audit.write_bytes((stranger.var / "jobs.db").read_bytes())


WAYS = [
    Way("audit.db removed", lambda stranger: stranger.audit.unlink(), "audit.db"),
    Way("audit.db emptied", lambda stranger: stranger.audit.write_bytes(b""), "audit"),
    Way("audit.db cut in half", cut, "database"),
    Way("audit.db written over", overwrite, "database"),
    Way("audit.db a text", lambda stranger: stranger.audit.write_text("nothing to see here\n" * 400), "database"),
    Way("audit.db a folder", make_folder, "audit.db"),
    Way("jobs.db in the place of audit.db", exchange, "audit"),
    Way("jobs.db removed", lambda stranger: (stranger.var / "jobs.db").unlink(), "jobs"),
    Way("audit.db put back to earlier", lambda stranger: stranger.take_back("audit.db"), "but it is not there"),
    Way(
        "audit.db and jobs.db put back to earlier",
        lambda stranger: stranger.take_back("audit.db", "jobs.db"),
        "but it is not there",
    ),
    Way(
        "databases and seals put back to earlier",
        lambda stranger: stranger.take_back(*DATABASES, seals=True),
        why_not="All of it was once as it is now; only what is kept on another machine tells, see the next two.",
    ),
    Way(
        "databases and seals put back to earlier, with anchors kept elsewhere",
        lambda stranger: stranger.take_back(*DATABASES, seals=True),
        "ANCHORS DO NOT MATCH",
        options=("--anchors-from", "{kept}/log"),
    ),
    Way(
        "a copy of audit.db beside it",
        lambda stranger: (stranger.var / "audit-copy.db").write_bytes(stranger.audit.read_bytes()),
        why_not="Nothing reads it; it holds what the database holds.",
    ),
]
