"""What timers run: not yet, late, or failed."""

from setactions.operations.doctor.findings import Finding, Findings, Well, note
from setactions.operations.doctor.site import Site
from tmsdash import timers


def look(site: Site) -> Findings:
    """Yield which timer does not do what it should. Nothing is known of them while their database is away."""
    if "default" not in site.answering:
        yield Well("unknown, for want of a database")
        return
    states = [state for state in timers.states() if state.interval_s]
    for state in states:
        start = f"systemctl enable --now {state.unit}; at once: {state.command}"
        if state.needs_attention:
            yield Finding("timer.late" if state.is_late else "timer.failed", state.in_words, start)
        elif state.last_success_at is None:
            yield note("timer.never", state.in_words, start)
    running = [state.name for state in states if state.last_success_at and not state.needs_attention]
    yield Well(f"in time: {', '.join(running)}" if running else "none is expected")
