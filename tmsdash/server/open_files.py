"""How many files the server may have open at once: each connection of a client is one, and so is each to a database."""

import resource

CONNECTIONS = 8192  # of clients that are wanted at once; those that say nothing count, too
FEWEST_CONNECTIONS = 1024  # with fewer, somebody who opens connections and leaves them idle is noticed by others
# Three SQLite files with their WALs, or three connections to PostgreSQL; one to TMS; temporary files of an upload.
PER_THREAD = 16
BESIDE = 256  # libraries, locks, logs, batches


def wanted(threads: int) -> int:
    """Return how many open files a server with so many threads makes use of."""
    return CONNECTIONS + threads * PER_THREAD + BESIDE


def possible(threads: int) -> int:
    """Return how many of them the system lets the server have, which raises its soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted(threads) if hard == resource.RLIM_INFINITY else min(hard, wanted(threads))


def connections_at_once(threads: int) -> int:
    """Return how many connections of clients the server takes, so that it never runs out of open files."""
    return max(32, possible(threads) - threads * PER_THREAD - BESIDE)
