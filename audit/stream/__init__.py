"""A stream of the audit's entries to where logs are kept, each on a line, behind a cursor that survives restarts.

1. Every entry is sent at least once, in the order of the chain: the cursor moves only after the output took what lies
   before it. After a crash, or a connection that broke, some are sent again; a number with its mac tells.
2. What is sent is a chain: each entry follows from the one before it, across archives and restarts. A stream ends
   where it does not, rather than send another history as if it were the same one.
3. A stream writes nothing to the audit, and holds no transaction open while it waits for an output.

cursor: the row; reading: the entries behind a position; lines: what is sent; outputs, syslog: to where; following:
what is done when one of these is away.
"""
