import json
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as AnyDatabaseError
from django.views.decorators.debug import sensitive_variables

from audit.actors import command_actor
from jobs.live.states import cluster_row
from jobs.models import LiveCluster
from setactions.live.listing import Wanted, WholeCluster, csv_lines
from setactions.live.reading import read_whole
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.status_api import status_json
from setactions.tms.clusters import Cluster, all_clusters, cluster_named
from setactions.token import Token
from setactions.token_options import add_token_arguments, token_of_options
from tmsdash.commands import Command as SiteCommand
from tmsdash.downloads import whole_file
from tmsdash.text import counted, one_line

NOT_READ = 3


class Command(SiteCommand):
    help = (
        "Read which state TMS shows of each customer of a cluster, and print how many are in each. Everybody sees the "
        "reading on the Status page. Without a token it prints what was read last, and when. Exit code 0: read; "
        "3: it could not be read, or without a token, never was."
    )

    wrong_key_exit_code = NOT_READ

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--cluster", required=True, metavar="NAME", help="a name of TMS_CLUSTERS")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--csv", type=Path, metavar="OUT", help="write each customer with its state to this file")
        add_token_arguments(parser)

    @sensitive_variables()
    def handle(self, *args: Any, **options: Any) -> None:
        cluster = cluster_named(options["cluster"])
        if cluster is None:
            known = ", ".join(cluster.name for cluster in all_clusters()) or "none, set TMS_CLUSTERS"
            raise CommandError(f"This cluster is not known. Choose from: {known}.")
        if token := token_of_options(options):
            _read(cluster, token)
        try:
            row = cluster_row(cluster.origin)
            if row is None or row.whole is None:
                raise CommandError(
                    f"{cluster.name} has not been read yet. Give a token to read it.", returncode=NOT_READ
                )
            answer = status_json(cluster, row)
            if options["csv"]:
                _write_csv(row, options["csv"])
        except AnyDatabaseError as error:
            raise CommandError(f"The jobs database cannot be read. {error}", returncode=NOT_READ) from None
        self.stdout.write(json.dumps(answer) if options["json"] else _in_words(answer, row))


@sensitive_variables("token")
def _read(cluster: Cluster, token: Token) -> None:
    try:
        read_whole(cluster, token, command_actor().user_id)
    except (ReadingFailedError, Refusal) as error:
        raise CommandError(str(error), returncode=NOT_READ) from None


def _write_csv(row: LiveCluster, path: Path) -> None:
    listing = WholeCluster(row)
    try:
        with whole_file(path) as file:
            file.writelines(csv_lines(listing.lines(listing.matching(Wanted()))))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None


def _in_words(answer: dict[str, Any], row: LiveCluster) -> str:
    whole = row.whole
    read = f"{whole.began_at:%Y-%m-%d %H:%M:%S} UTC, {whole.source_in_words}" if whole else ""
    lines = [f"{answer['cluster']}: {counted(answer['customer_count'], 'customer')}, {one_line(read)}"]
    width = max(map(len, answer["counts"]), default=0)
    lines += [f"  {name:<{width}}  {count:>9,}" for name, count in answer["counts"].items()]
    if answer["failed"]:
        lines.append(f"The newest reading failed: {one_line(answer['failed']['problem'])}")
    return "\n".join(lines)
