"""Which database holds which app."""

from typing import Any

from django.db.models import Model

DATABASE_OF_APP = {"jobs": "jobs", "audit": "audit"}


class AppRouter:
    """Send `jobs` and `audit` to the databases of the same names and everything else to `default`.

    They are apart so that a fault of one cannot take the others with it: an accepted action is
    provable from either. Nothing refers across them by key; the attempt id alone ties them.
    """

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        return DATABASE_OF_APP.get(model._meta.app_label, "default")

    db_for_write = db_for_read

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        return self.db_for_read(type(first)) == self.db_for_read(type(second))

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == DATABASE_OF_APP.get(app_label, "default")
