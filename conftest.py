"""The fixtures that all tests share, wherever they stand."""

pytest_plugins = [
    "tmsdash.tests.axe",
    "tmsdash.tests.fixtures",
    "tmsdash.tests.browser",
    "tmsdash.tests.drawing",
    "audit.tests.sealing",
    "setactions.tests.fixtures",
    "setactions.batches.tests.fixtures",
]
