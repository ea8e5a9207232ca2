"""How many files the server may have open at once: each connection to a client or to a database is one."""

import resource

CONNECTIONS = 8192  # of clients that we want to allow at once, including silent ones
FEWEST_CONNECTIONS = 1024  # with fewer, one client that leaves connections idle disturbs the others
# Three SQLite files with their WALs, or three connections to PostgreSQL; one to TMS; temporary files of an upload.
PER_THREAD = 16
BESIDE = 256  # libraries, locks, logs, batches


def wanted(threads: int) -> int:
    """Return how many open files a server with this many threads can use."""
    return CONNECTIONS + threads * PER_THREAD + BESIDE


def possible(threads: int) -> int:
    """Return how many of them the system allows the server, which raises its soft limit to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted(threads) if hard == resource.RLIM_INFINITY else min(hard, wanted(threads))


def connections_at_once(threads: int) -> int:
    """Return how many client connections the server accepts, so that it never runs out of open files."""
    return max(32, possible(threads) - threads * PER_THREAD - BESIDE)
