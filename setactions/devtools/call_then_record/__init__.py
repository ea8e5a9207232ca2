"""A stand-in for the dashboard that this product replaces: it calls TMS, then writes down what became of it.

The benchmarks measure it beside the product, and nothing else serves it. Its code is not that dashboard's, only the
shape is, as far as that is known from its files and its log: one synchronous view behind the middleware that Django
starts a project with, which makes the call with requests, and then writes its rows with the ORM in autocommit: jobs to
one SQLite file, the log of the audit to another, users and sessions in a third. All of them may lose the last commits
in a power cut (synchronous=NORMAL). It writes the lines to its log that operators still search for. It checks neither
list nor permission, guards against no repeats, signs nothing, and loses the Job of an accepted action whenever anything
fails after the call.
"""
