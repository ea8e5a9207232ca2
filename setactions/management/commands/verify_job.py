import json
import sys
import uuid
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import command_actor
from jobs.live.codes import state_name
from jobs.live.confirmations import ShownStates
from jobs.models import Batch, Job
from setactions.live.confirmations import confirm_batch, confirm_job
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.token import Token
from setactions.token_options import add_token_arguments, token_of_options
from tmsdash.commands import Command as BaseCommand

NOT_ALL, NOT_READ = 2, 3


class Command(BaseCommand):
    help = (
        "Read what TMS shows of the customers of a job, or of a batch, and say how many are where it sends them. The "
        "token comes from TMS_TOKEN, a file or a prompt. Exit code 0: all confirmed; 1: bad input; 2: not all; 3: "
        "could not be read."
    )

    wrong_key_exit_code = NOT_READ

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job_id", type=uuid.UUID, metavar="JOB_ID", help="the id of a job, or of a batch")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        add_token_arguments(parser)

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        token = token_of_options(options)
        if token is None:
            raise CommandError("A token is needed: --ask-token, --token-file FILE or TMS_TOKEN.")
        try:
            states = _read(options["job_id"], token)
        except ReadingFailedError as error:
            raise CommandError(str(error), returncode=NOT_READ) from None
        except Refusal as refusal:
            raise CommandError(refusal.message, returncode=NOT_READ) from None
        except AnyDatabaseError as error:
            raise CommandError(f"A database cannot be used; try again later. {error}", returncode=NOT_READ) from None
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(options["job_id"], states)))
        else:
            self.stdout.write("\n".join(map(_in_words, states)) or "TMS accepted nothing of it.")
        if not states or not all(shown.is_whole for shown in states):
            sys.exit(NOT_ALL)


@sensitive_variables("token")
def _read(job_id: uuid.UUID, token: Token) -> Sequence[ShownStates]:
    """Return what TMS shows of a job, or of a batch for each cluster and action; raises CommandError without either."""
    user_id = command_actor().user_id
    if job := Job.objects.filter(job_id=job_id).first():
        return [confirm_job(job, token, user_id)]
    batch = Batch.objects.filter(batch_id=job_id).first()
    if batch is None:
        raise CommandError("There is no such job or batch. Give a whole id, as its page shows it.")
    check = confirm_batch(batch, token, user_id)
    if check.problems:
        raise ReadingFailedError(" ".join(check.problems))
    return check.states


def _as_json(job_id: uuid.UUID, states: Sequence[ShownStates]) -> dict[str, Any]:
    confirmed, customer_count = (
        sum(getattr(shown, name) for shown in states) for name in ("confirmed", "customer_count")
    )
    return {
        "job_id": str(job_id),
        "confirmed": confirmed,
        "customer_count": customer_count,
        "parts": [
            {
                "cluster_url": shown.cluster_url,
                "action_code": shown.action_code,
                "shown_code": part.code,
                "words": part.words,
                "customers": part.count,
                "read_at": part.oldest.began_at.isoformat() if part.oldest else None,
                "source": part.oldest.source if part.oldest else None,
            }
            for shown in states
            for part in shown.parts
        ],
        "exit_code": 0 if states and confirmed == customer_count else NOT_ALL,
    }


def _in_words(shown: ShownStates) -> str:
    oldest = shown.oldest
    read = f" ({oldest.began_at:%Y-%m-%d %H:%M:%S} UTC, {oldest.source_in_words})" if oldest else ""
    return f"{state_name(shown.action_code)} on {shown.cluster_url}: {shown.in_words}{read}."
