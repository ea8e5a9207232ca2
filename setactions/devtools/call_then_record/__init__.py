"""A stand-in for the dashboard that this product replaces: it calls TMS, then writes down what became of it.

The benchmarks measure it beside the product, and nothing else serves it. Its code is not that dashboard's, only the
shape is: one synchronous view that makes the call with requests and then writes its rows with the ORM in autocommit,
in tables like the old ones, on one SQLite file that may lose the last commits in a power cut (synchronous=NORMAL).
It checks neither list nor permission, guards against no repeats, signs nothing, and loses the Job of an accepted
action whenever anything fails after the call.
"""
