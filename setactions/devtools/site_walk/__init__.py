"""Walks through every page of a made-up installation, and what each costs: for `manage.py bench years`."""
