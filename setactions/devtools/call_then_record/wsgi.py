"""The WSGI application of the stand-in."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "setactions.devtools.call_then_record.settings"
application = get_wsgi_application()
