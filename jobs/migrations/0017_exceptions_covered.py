"""Who looks for the few jobs of a kind reads the index of those that are exceptions, and none of their rows."""

from django.db import migrations
from django.db.models import Q

from tmsdash.db.tables import CoveringIndex

EXCEPTIONS = (
    Q(evidence="read_back")
    | Q(evidence="decided")
    | Q(evidence="legacy")
    | Q(source="legacy")
    | Q(legacy=True)
    | Q(status="failed")
    | Q(status="unknown")
)
TESTED = ["status", "evidence", "source", "legacy", "created_at"]


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0016_jobs_by_source"),
    ]

    operations = [
        migrations.RemoveIndex("job", "job_exception"),
        migrations.AddIndex(
            "job", CoveringIndex(fields=["id"], covered=TESTED, name="job_exception", condition=EXCEPTIONS)
        ),
    ]
