"""How the loss of seals is acknowledged: of a file that is gone, lost its end, or was changed. See noted_seals.

What is left of such a file is kept beside the new one, under a name that nothing takes for seals.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from audit import chain
from audit.actors import Actor
from audit.choices import Kind
from audit.proof.acknowledgements import MIN_REASON, NotLostError
from audit.proof.noted_seals import CHANGE, NotedSeals, noted_in_database
from audit.proof.seals import WAIT_S, SealFile, path_of, read_all
from tmsdash.db.files import sync
from tmsdash.db.locks import alone
from tmsdash.db.transactions import BUSY_TIMEOUT_S, read_transaction, write_transaction


@dataclass(frozen=True)
class LostSeals:
    """What was acknowledged: the file, how many seals there were and are left, and where these are now."""

    path: Path
    number: int
    left: int
    kept_as: Path | None

    @property
    def sentence(self) -> str:
        """What was noted, and where what is left is."""
        kept = f" What is left is kept as {self.kept_as.name}." if self.kept_as else ""
        return f"{self.path.name} is acknowledged as lost, with {self.number:,} seals; {self.left:,} were left.{kept}"


def acknowledge_lost_seals(reason: str, actor: Actor) -> list[LostSeals]:
    """Note in the chain that files of seals were lost, and put aside what is left of them; return what was noted.

    Raises NotLostError if none was, OSError, or DatabaseError.
    """
    reason = reason.strip()
    if len(reason) < MIN_REASON:
        raise NotLostError(f"Give a reason of at least {MIN_REASON} characters.")
    with alone("seal", lambda: None, wait_s=WAIT_S):
        noted = NotedSeals()
        with read_transaction(chain.DATABASE):
            for entry in noted_in_database():
                noted.take(entry)
        files = {file.path: file for file in read_all()}
        key_ids = [key_id for key_id in chain.known_keys() if _is_lost(key_id, files[path_of(key_id)], noted)]
        if not key_ids:
            raise NotLostError("No seal is missing.")
        return [_acknowledge(key_id, files[path_of(key_id)], noted, reason, actor) for key_id in key_ids]


def _is_lost(key_id: str, file: SealFile, noted: NotedSeals) -> bool:
    return bool(file.problems) or any(noted.problems_of(key_id, file.signatures))


def _acknowledge(key_id: str, file: SealFile, noted: NotedSeals, reason: str, actor: Actor) -> LostSeals:
    last, left = noted.last(key_id), len(file.seals)
    number = max(last.number if last else 0, max((seal.number for seal in file.seals), default=0))
    body = {"change": CHANGE, "what": "seals", "key_id": key_id, "number": number, "left": left}
    body |= {"reason": reason, "by": actor.user_id}
    with write_transaction(chain.DATABASE, BUSY_TIMEOUT_S):
        chain.append([chain.new_entry(None, Kind.SETTING_CHANGED, actor.user_id, body)])
    # Afterwards: where the file stays in its place, the next seal is numbered behind what is left.
    kept_as = None
    if file.path.exists():
        kept_as = file.path.with_name(f"{file.path.name}.lost-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        file.path.rename(kept_as)
        sync(file.path.parent)
    return LostSeals(file.path, number, left, kept_as)
