"""App status runs: for a selection of customers, what `get/appstatus` shows of their apps."""
