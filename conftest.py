"""The fixtures that all tests share, wherever they stand."""

pytest_plugins = [
    "tmsdash.tests.fixtures",
    "tmsdash.tests.browser",
    "audit.tests.sealing",
    "setactions.tests.fixtures",
    "setactions.batches.tests.fixtures",
]
