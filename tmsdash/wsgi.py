"""The WSGI application that the production server loads."""

import gc
import os
import sys
import warnings

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connections, reset_queries

from tmsdash import startup
from tmsdash.db import moves, postgresql
from tmsdash.logs import log_what_nobody_caught
from tmsdash.processes import end_with_parent, notice_end, share_interpreter
from tmsdash.server import heartbeat
from tmsdash.server.frames import in_one_piece
from tmsdash.web.base_path import below
from tmsdash.web.plain_text import with_plain_content_type
from tmsdash.web.static_files import warn_unless_collected

GARBAGE_AFTER = 20_000  # objects more than there were

startup.begin_worker()
share_interpreter()
warnings.filterwarnings("ignore", "No directory at")  # whitenoise's words for warn_unless_collected
end_with_parent()  # a worker that outlived its main process would keep the port from the next one
notice_end()
postgresql.serve_pages()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tmsdash.settings")
try:
    django.setup()
    log_what_nobody_caught()
    application = below(with_plain_content_type(get_wsgi_application()))
    from tmsdash import site_keys  # it has models, so that django.setup comes first

    moves.assert_in_place()
    if not site_keys.assert_ours():
        application = site_keys.guarded(application)
    connections.close_all()
    # Connections are looked after when a request ends; nobody reads the queries that are forgotten when one begins.
    for receiver in (reset_queries, close_old_connections):
        request_started.disconnect(receiver)
    application = in_one_piece(heartbeat.tracked(application))
    warn_unless_collected()
except (ImproperlyConfigured, moves.MovedError) as error:
    sys.exit(f"TMS Dashboard cannot start. {error}")
# What is loaded by now stays: to look for garbage among it, time and again within a request, finds nothing.
gc.collect()
gc.freeze()
gc.set_threshold(GARBAGE_AFTER)
heartbeat.begin()  # last, so that a worker that is still starting does not look frozen
