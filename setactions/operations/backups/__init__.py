"""Backup and restore of the three databases together, as they were at one moment.

The jobs and the audit must fit together: a Job without its attempt, or a recorded attempt without its
Job, is what no moment of the running site shows. So one copy holds all three databases, and all three
are restored together, whichever engines they are on.
"""
