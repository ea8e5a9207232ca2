"""`python -m setactions.devtools.site_walk CHOICES PAIRED ROUNDS MOST` walks as each visitor, see site_walk.walk.

Each visitor sees MOST pages at most, all of them if that is 0. It prints the number of jobs, then a line of JSON for
each page. After an empty line it measures again the pages whose names it is sent, a list of them in a line, until its
standard input ends.
"""

import json
import logging
import sys
from dataclasses import asdict
from itertools import islice

import django
from django.conf import settings

django.setup()

from jobs.models import Job  # noqa: E402
from setactions.devtools.site_walk.visitors import visitors  # noqa: E402
from setactions.devtools.site_walk.walk import Sample, Walk  # noqa: E402


def main(choices: int, paired: int, rounds: int, most: int) -> None:
    """Walk, then measure again what is asked for."""
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SESSION_IDLE_S = settings.SESSION_MAX_S = 24 * 3600
    logging.disable()
    print(Job.objects.count(), flush=True)  # noqa: T201
    walks = [Walk(visitor, choices=choices, paired=paired, rounds=rounds) for visitor in visitors(all_roles=paired > 0)]
    for walk in walks:
        for sample in islice(walk.samples(), most or None):
            _print(sample)
    print(flush=True)  # noqa: T201
    for line in sys.stdin:
        for name in json.loads(line):
            [walk] = (walk for walk in walks if name in walk.known)
            _print(walk.again(name))
        print(flush=True)  # noqa: T201


def _print(sample: Sample) -> None:
    print(json.dumps(asdict(sample)), flush=True)  # noqa: T201


main(*map(int, sys.argv[1:]))
