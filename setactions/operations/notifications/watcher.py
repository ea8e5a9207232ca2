"""The thread that looks for news and sends it, in the main process of a server.

It shares nothing with what that process is for. Whatever fails here, or takes long, nobody waits for it.
"""

import logging
import threading

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connections
from django.urls import set_script_prefix

from setactions.operations.notifications import outbox
from tmsdash.db.transactions import drop_if_broken

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
SEND_FOR_S = 30.0  # to each receiver, before the next one's turn and the next look
END_WAIT_S = 1.0  # for a notice that is being sent; if that is not enough, it is sent again


class Watcher(threading.Thread):
    """Looks and sends at intervals for as long as the `with` block lasts, if anybody is to be told."""

    def __init__(self) -> None:
        super().__init__(name="notify", daemon=True)
        self._over = threading.Event()

    def __enter__(self) -> "Watcher":
        if outbox.channels():
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self.ident:
            self.join(END_WAIT_S)

    def run(self) -> None:
        """Look and send; an error in one round is no reason to stop."""
        set_script_prefix(settings.BASE_PATH or "/")  # which links begin with; other threads have it of a request
        while not self._over.wait(LOOK_EVERY_S):
            self._round()

    def _round(self) -> None:
        try:
            with drop_if_broken(*connections):
                outbox.write_news()
                outbox.send_due(self._over.is_set, SEND_FOR_S)
        except AnyDatabaseError as error:
            logger.warning("[NOTIFY] WARNING: a database cannot be used, so nobody is told for now: %s", error)
        except Exception:
            logger.exception("[NOTIFY] EXCEPTION: nobody is told for now")
        finally:
            connections.close_all()
