"""The floor that all apps stand on. Whatever imports it first, before any other module may import sqlite3.

SQLite before 3.51.3 can lose what a checkpoint wrote, and the one that Python finds on most systems is older. The wheel
of pysqlite3 brings a newer one along; from here on it is what `import sqlite3` gives to everybody, Django included.
There must be one SQLite in a process: each copy would end the other's locks on a file when it closes its own
(https://www.sqlite.org/howtocorrupt.html). Where there is no wheel the system's stays, and `check --deploy` warns.
"""

import sys

try:
    import pysqlite3.dbapi2
except ImportError:
    pass
else:
    sys.modules |= {"sqlite3": pysqlite3, "sqlite3.dbapi2": pysqlite3.dbapi2}
