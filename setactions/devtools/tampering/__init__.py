"""What somebody can do to an audit, with its files alone or with its keys, and what the product says of it.

It shares no code with what it puts to the test: it writes to files and databases as a stranger would.
"""
