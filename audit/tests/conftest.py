"""Fixtures of the audit's tests."""

from audit.tests.sealing import empty_seal_dir  # noqa: F401
