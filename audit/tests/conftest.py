"""Fixtures of the audit's tests."""

from audit.tests.sealing import audited, empty_seal_dir  # noqa: F401
