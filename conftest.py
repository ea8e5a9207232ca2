"""The fixtures that all apps' tests share."""

pytest_plugins = ["tmsdash.tests.fixtures"]
