"""What TMS shows although nothing here asked for it: after a restored backup, what was accepted since."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.views.decorators.debug import sensitive_variables

from audit.selectors import actions_asked_for
from jobs.live.codes import NO_ACTION, UNREADABLE
from setactions.reads import ReadingFailedError
from setactions.refusal import Refusal
from setactions.resolving.readback import WAIT_S, action_name, read_states
from setactions.tms.clusters import Cluster, all_clusters
from setactions.token import Token
from tmsdash.text import counted, one_line

IDS_NAMED = 20  # of each cluster and action


@dataclass(frozen=True, order=True)
class UnexplainedState:
    """A customer that shows an action for which no attempt here, accepted or still open, asked on that cluster."""

    cluster: Cluster
    action_code: int
    cid: str


@dataclass
class Unexplained:
    """What all clusters show that is not explained here, and sentences on clusters that could not be read."""

    states: list[UnexplainedState] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@sensitive_variables("token")
def find_unexplained(token: Token) -> Unexplained:
    """Read what every cluster shows, and return what nothing here asked for. Changes nothing.

    get/action shows only the last action of a customer: one that was overwritten since is not found.
    """
    unexplained = Unexplained()
    for cluster in all_clusters():
        try:
            # Read before the audit is asked: an intent is there before its action, so none of ours can look unasked.
            codes = read_states(cluster, (), token, wait_s=WAIT_S).codes
        except (ReadingFailedError, Refusal) as error:
            unexplained.problems.append(str(error))
            continue
        unexplained.states += _unexplained_states(cluster, codes)
        unreadable = sum(code == UNREADABLE for code in codes.values())
        if unreadable:
            customers = counted(unreadable, "customer")
            unexplained.problems.append(
                f"{cluster.name} shows something that cannot be read for {customers}. Ask whoever runs it."
            )
    return unexplained


def _unexplained_states(cluster: Cluster, codes: dict[str, int]) -> list[UnexplainedState]:
    shown = {cid: code for cid, code in codes.items() if code not in (NO_ACTION, UNREADABLE)}
    asked = actions_asked_for(cluster.origin, list(shown))
    return sorted(UnexplainedState(cluster, code, cid) for cid, code in shown.items() if (cid, code) not in asked)


def in_words(states: Sequence[UnexplainedState]) -> list[str]:
    """Return a sentence for each cluster and action, with how many customers and the first of their ids."""
    groups: defaultdict[tuple[Cluster, int], list[str]] = defaultdict(list)
    for state in states:
        groups[state.cluster, state.action_code].append(state.cid)
    return [_sentence(cluster, code, cids) for (cluster, code), cids in groups.items()]


def _sentence(cluster: Cluster, code: int, cids: Sequence[str]) -> str:
    customers = counted(len(cids), "customer")
    named = ", ".join(one_line(cid, 128) for cid in cids[:IDS_NAMED])
    more = f", and {len(cids) - IDS_NAMED:,} more (--json names all)" if len(cids) > IDS_NAMED else ""
    return (
        f"TMS shows {action_name(code)} for {customers} on {cluster.name}, and nothing here asked for it: {named}{more}"
    )
