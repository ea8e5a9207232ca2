"""App status runs: reading what `get/appstatus` shows of many customers, politely, in the background."""
