"""The rows of Activity as HTML: an attempt each, and a batch that opens to its chunks."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from audit.choices import CHUNK_SOURCES, Source
from audit.models import Attempt
from jobs.activity.choices import ShownOutcome
from jobs.activity.selectors import Entry
from jobs.batches.selectors import Progress, State, Tally, chunks_of, on_production
from jobs.models import Batch, BatchChunk
from setactions.pages.batch_view import BatchLine
from tmsdash.text import counted, one_line
from tmsdash.web.clusters import ON_PRODUCTION, production_class, several, shown_cluster
from tmsdash.web.day_groups import clock_of_day, shown_day
from tmsdash.web.page_addresses import address_maker
from tmsdash.web.parts import badge
from tmsdash.web.table_rows import rows_by_day
from tmsdash.web.template_filters import number, shown_time

CHUNKS_SHOWN = 100
FILE_NAME_SHOWN = NOTE_SHOWN = 40
MESSAGE_SHOWN = 80
SHORT_ID = 8  # characters: the whole id is the link's title
_ROW = """<tr class="{mark}"{place}>
  <td data-label="Time">{time}</td>
  <td data-label="Outcome" class="outcome">
    <span>{outcome}{more}</span>
  </td>
  <td data-label="Action" class="short">{action}</td>
  <td data-label="Cluster" class="short">{cluster}</td>
  <td data-label="Customers" class="number">{customers}</td>
  <td data-label="What"><span>{what}</span></td>
  <td data-label="From" class="short">{source}</td>{user}
</tr>"""
_USER = """
  <td data-label="User"><span class="limited" title="{user}">{user}</span></td>"""
_LINK = '<a class="id" href="{}" title="{}">{}</a>'
_CHUNK = "chunk"
_SOURCES: dict[str, str] = {source.value: str(source.label) for source in Source}


def rows_of(
    entries: Sequence[Entry],
    attempts: Mapping[int, Attempt],
    here: str,
    opened: uuid.UUID | None,
    chunks: Sequence[BatchChunk],
    *,
    with_user: bool,
) -> SafeString:
    """Return a table's bodies, by days; `here` is its address, `chunks` are those of the batch that is `opened`."""
    row = _ROW.replace("{user}", _USER if with_user else "")
    return rows_by_day(row, _cells(entries, attempts, here, opened, chunks))


def opened_chunks(entries: Sequence[Entry], opened: uuid.UUID, outcome: ShownOutcome | None) -> list[BatchChunk]:
    """Return the first chunks of a batch that is among these entries: those with this outcome, if one is given."""
    batch = next((entry.batch for entry in entries if entry.batch and entry.batch.batch_id == opened), None)
    if batch is None:
        return []
    chunks = chunks_of(batch)
    return list((chunks.filter(state__in=outcome.chunk_states) if outcome else chunks)[: CHUNKS_SHOWN + 1])


def _cells(
    entries: Sequence[Entry],
    attempts: Mapping[int, Attempt],
    here: str,
    opened: uuid.UUID | None,
    chunks: Sequence[BatchChunk],
) -> Iterator[dict[str, Any]]:
    marked = on_production([entry.batch for entry in entries if entry.batch])
    for entry in entries:
        if entry.batch:
            is_open = entry.batch.batch_id == opened
            is_marked = entry.batch.pk in marked
            yield _cells_of_batch(entry.batch, entry.matching, here, is_open=is_open, is_production=is_marked)
            if is_open:
                yield from _cells_of_chunks(entry.batch, chunks)
        elif attempt := attempts.get(entry.pk):
            yield _cells_of_attempt(attempt)


def _cells_of_attempt(attempt: Attempt) -> dict[str, Any]:
    what = _link("attempt", attempt.attempt_id, "Attempt")
    if attempt.has_job:
        what = format_html("{} · {}", what, _link("job_detail", attempt.attempt_id, "Job"))
    return {
        "mark": production_class(attempt.cluster_url),
        "place": "",
        "at": attempt.created_at,
        "outcome": badge(attempt.outcome, attempt.get_outcome_display()),
        "more": _message("its job is being recorded" if attempt.job_owed else attempt.error_message),
        "action": attempt.action_name or "–",
        "cluster": shown_cluster(attempt.cluster_url) or "–",
        "customers": number(attempt.customer_count),
        "what": what + _note(attempt.note),
        "source": "Chunk of a batch"
        if attempt.source in CHUNK_SOURCES
        else _SOURCES.get(attempt.source, attempt.source),
        "user": attempt.user_id,
    }


def _cells_of_batch(batch: Any, matching: int, here: str, *, is_open: bool, is_production: bool) -> dict[str, Any]:
    tallies = (Tally(State.ACCEPTED, 0, batch.accepted or 0), Tally(State.UNKNOWN, 0, batch.unknown or 0))
    line = BatchLine(batch, Progress(tallies, 0))
    unknown = SafeString(" ") + badge("unknown", f"{number(batch.unknown)} unknown") if batch.unknown else ""
    return {
        "mark": f"batch {ON_PRODUCTION if is_production else ''}",
        "place": format_html(' id="batch-{}"', batch.batch_id),
        "at": batch.created_at,
        "outcome": badge(line.css, line.state),
        "more": format_html(' <span class="hint">{} accepted</span>{}', number(line.progress.accepted), unknown),
        "action": line.action,
        "cluster": shown_cluster(batch.cluster_url) or several(is_production=is_production),
        "customers": number(batch.customer_count),
        "what": format_html(
            '{}{} · <a href="{}#batch-{}" aria-expanded="{}">{}</a>{}',
            _link("batch", batch.batch_id, "Batch"),
            f", {Truncator(batch.file_name).chars(FILE_NAME_SHOWN)}" if batch.file_name else "",
            _toggled(here, batch, is_open=is_open),
            batch.batch_id,
            "true" if is_open else "false",
            _chunks_in_words(batch, matching),
            _note(batch.note),
        ),
        "source": "Batch",
        "user": batch.user_id,
    }


def _cells_of_chunks(batch: Batch, chunks: Sequence[BatchChunk]) -> Iterator[dict[str, Any]]:
    for chunk in chunks[:CHUNKS_SHOWN]:
        name = f"Chunk {chunk.number + 1:,}"
        yield {
            "mark": f"{_CHUNK} {production_class(chunk.cluster_url)}",
            "place": "",
            "time": _time_of_chunk(chunk, batch),
            "outcome": badge(chunk.state, State(chunk.state).label),
            "more": _message(chunk.message),
            "action": chunk.get_action_code_display(),
            "cluster": shown_cluster(chunk.cluster_url),
            "customers": number(chunk.customer_count),
            "what": _link("attempt", chunk.attempt_id, name) if chunk.attempt_id else name,
            "source": "Chunk",
            "user": batch.user_id,
        }
    if len(chunks) > CHUNKS_SHOWN:
        what = format_html('<a href="{}">All {} chunks</a>', _address_of("batch", batch.batch_id), batch.chunk_count)
        yield dict.fromkeys(("place", "time", "outcome", "more", "action", "cluster", "customers"), "") | {
            "mark": _CHUNK,
            "what": what,
            "source": "",
            "user": batch.user_id,
        }


def _time_of_chunk(chunk: BatchChunk, batch: Batch) -> SafeString | str:
    """Return when a chunk was sent, with its day if that is not the one that its batch stands below."""
    if chunk.started_at is None:
        return "not sent yet"
    is_same_day = shown_day(chunk.started_at) == shown_day(batch.created_at)
    return clock_of_day(chunk.started_at) if is_same_day else shown_time(chunk.started_at)


def _chunks_in_words(batch: Batch, matching: int) -> str:
    if not matching or matching >= batch.chunk_count:
        return counted(batch.chunk_count, "chunk")
    return f"{matching:,} of {counted(batch.chunk_count, 'chunk')}"


def _message(text: str) -> SafeString:
    """Return what TMS or the dashboard said of it, cut where a row ends."""
    whole, shown = one_line(text), one_line(text, MESSAGE_SHOWN)
    return format_html(' <span class="hint" title="{}">{}</span>', whole, shown) if text else SafeString()


def _note(note: str) -> SafeString:
    shown = Truncator(one_line(note)).chars(NOTE_SHOWN)
    return format_html(' <span class="hint" title="{}">{}</span>', one_line(note), shown) if note else SafeString()


def _toggled(here: str, batch: Batch, *, is_open: bool) -> str:
    """Return the address of the same page with the batch's chunks, or without them."""
    return here if is_open else f"{here}{'&' if '?' in here else '?'}{urlencode({'open': str(batch.batch_id)})}"


def _link(name: str, thing_id: uuid.UUID, word: str) -> SafeString:
    return format_html(_LINK, _address_of(name, thing_id), thing_id, f"{word} {str(thing_id)[:SHORT_ID]}…")


def _address_of(name: str, thing_id: uuid.UUID) -> str:
    return address_maker(name)(thing_id)
