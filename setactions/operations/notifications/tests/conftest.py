"""Sites that tell people over channels that exist."""

import pytest

from setactions.operations.notifications.tests.receivers import MailServer, Webhook, running
from tmsdash.notice_settings import MailServer as Server

KEY = b"a-key-of-more-than-32-characters-for-tests"


@pytest.fixture
def webhook(databases, settings):
    """A webhook that the settings name."""
    with running(Webhook()) as server:
        settings.NOTIFY_WEBHOOK_URL, settings.NOTIFY_WEBHOOK_KEY = server.url, KEY
        settings.SITE_URL = "https://dashboard.example"
        yield server


@pytest.fixture
def mail(databases, settings):
    """A mail server that the settings name."""
    with running(MailServer()) as server:
        settings.NOTIFY_EMAIL = ["ops@example.org", "night@example.org"]
        settings.NOTIFY_EMAIL_FROM = "tms-dashboard@dashboard.example"
        settings.SITE_URL = "https://dashboard.example"
        settings.MAIL_SERVER = Server("127.0.0.1", server.server_address[1], "", "", use_tls=False, use_ssl=False)
        yield server
