"""Run one benchmark: `python -m setactions.devtools.benchmarks NAME ROUNDS SCALE`, as `manage.py bench` does."""

import sys

import django

from setactions.devtools.benchmarks import BENCHMARKS, measurement

name, rounds, scale = sys.argv[1:]
django.setup()
measurement.rounds, measurement.scale = int(rounds), float(scale)
sys.exit(0 if BENCHMARKS[name]() else 1)
