import tmsdash  # noqa: F401 (first of all: it chooses the SQLite of this process)
