"""How pages name a cluster: its name with the origin on hover, and a badge if it is a production cluster.

Rows hold the origin of a cluster, which stays what it was when the settings change. Every list, sentence and fact comes
here for what to show of it, those of the admin included. Hover alone would leave out keyboards and touch, so where the
facts of something are, the origin is written beside the name.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

from tmsdash.text import one_line
from tmsdash.web.parts import badge

register = template.Library()

ON_PRODUCTION = "on-production"  # the class of a row
_NAME = '<span class="cluster" title="{origin}">{name}{mark}</span>'
_BADGE = " " + badge("production", "production")
_BAR = (
    '<aside class="production-bar" aria-label="Production"{hidden}>'
    '<p class="width">Production cluster{s}: <strong>{names}</strong></p></aside>'
)
Settings = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]  # names and origins, and the names of production


def is_production(origin: str) -> bool:
    """Tell whether what is done at this origin is done to customers who notice."""
    return _names(_settings()).get(origin) in settings.TMS_PRODUCTION_CLUSTERS


def production_origins() -> list[str]:
    """Return the origins of the production clusters."""
    return [settings.TMS_CLUSTERS[name] for name in settings.TMS_PRODUCTION_CLUSTERS]


@register.filter
def cluster_name(origin: str) -> str:
    """Return the name of a cluster; its host if the settings lack it; "" if there is no origin."""
    return _names(_settings()).get(origin) or one_line(_host(origin))


@register.filter("cluster")
def shown_cluster(origin: str) -> SafeString:
    """Return a cluster for lists and sentences: its name, or its host, with the origin on hover; "" if there is none.

    A page has up to a hundred of them, so this is looked up rather than made.
    """
    return _shown(_settings()).get(origin) or _without_name(origin)


@register.filter
def cluster_fact(origin: str) -> SafeString:
    """Return a cluster for facts: the same with the whole origin in the text, for those who cannot hover."""
    shown = shown_cluster(origin)
    return mark_safe(f'{shown} <span class="origin">{escape(one_line(origin))}</span>') if shown else shown  # noqa: S308 (escaped)


@register.filter
def production_badge(origin: str) -> SafeString:
    """Return the badge for the head of a page that names this cluster in its title; "" if it is no production."""
    return badge("production", "production") if is_production(origin) else SafeString()


@register.filter
def production_bar(origin: str) -> SafeString:
    """Return the bar for the block `under_header` of a page that concerns this cluster; "" if it is no production."""
    return bar_of_several([origin])


def bar_of_several(origins: Iterable[str]) -> SafeString:
    """Return the bar of a page that concerns several clusters: it names those of production; "" if none is."""
    names = [cluster_name(origin) for origin in origins if is_production(origin)]
    return _bar(names) if names else SafeString()


@register.filter
def choice_bar(name: str | None) -> SafeString:
    """Return the bar of a page with a form that chooses a cluster, now the one of this name, if any.

    It is hidden while no production cluster is chosen; static/tmsdash.js shows it as soon as one is.
    """
    names = [*settings.TMS_CLUSTERS]
    chosen = name or (names[0] if len(names) == 1 else "")
    if not settings.TMS_PRODUCTION_CLUSTERS:
        return SafeString()
    return _bar([chosen]) if chosen in settings.TMS_PRODUCTION_CLUSTERS else _bar([""], hidden=" hidden")


@register.filter
def production_class(origin: str) -> str:
    """Return the class of a row that concerns this cluster: "on-production" or ""."""
    return ON_PRODUCTION if is_production(origin) else ""


def several(*, is_production: bool) -> SafeString:
    """Return what a list shows of the clusters of something that is for several of them."""
    return mark_safe(f'<span class="cluster">several{_BADGE if is_production else ""}</span>')  # noqa: S308 (no text from outside)


def cluster_choices() -> list[tuple[str, str]]:
    """Return the clusters of the settings for a field: name and label, which says so of a production cluster."""
    production = settings.TMS_PRODUCTION_CLUSTERS
    return [
        (name, f"{'PRODUCTION: ' if name in production else ''}{name} ({origin})")
        for name, origin in settings.TMS_CLUSTERS.items()
    ]


def offer_clusters(form: Any, *, names: Collection[str] | None = None, first: Sequence[tuple[str, str]] = ()) -> None:
    """Let the field `cluster` of a form offer the clusters of the settings, or some, after `first` choices of its own.

    Its page has the bar that `choice_bar` draws, and a script shows that while a production cluster is chosen.
    """
    field = form.fields["cluster"]
    offered = [choice for choice in cluster_choices() if names is None or choice[0] in names]
    field.choices = [*first, *offered]
    if settings.TMS_PRODUCTION_CLUSTERS:
        field.widget.attrs["data-production"] = " ".join(settings.TMS_PRODUCTION_CLUSTERS)


def _settings() -> Settings:
    return tuple(settings.TMS_CLUSTERS.items()), tuple(settings.TMS_PRODUCTION_CLUSTERS)


@lru_cache(maxsize=4)
def _names(given: Settings) -> dict[str, str]:
    return {origin: name for name, origin in given[0]}


@lru_cache(maxsize=4)
def _shown(given: Settings) -> dict[str, SafeString]:
    """Return what is shown of each origin of the settings."""
    clusters, production = given
    return {origin: _span(name, origin, is_production=name in production) for name, origin in clusters}


def _without_name(origin: str) -> SafeString:
    return _span(one_line(_host(origin)), one_line(origin), is_production=False) if origin else SafeString()


def _span(name: str, origin: str, *, is_production: bool) -> SafeString:
    mark = _BADGE if is_production else ""
    return mark_safe(_NAME.format(name=escape(name), origin=escape(origin), mark=mark))  # noqa: S308 (escaped)


def _bar(names: Sequence[str], hidden: str = "") -> SafeString:
    plural = "s" if len(names) > 1 else ""
    return mark_safe(_BAR.format(names=escape(", ".join(names)), s=plural, hidden=hidden))  # noqa: S308 (escaped)


def _host(origin: str) -> str:
    """Return the host and port of an origin; what was imported may be no origin at all, and stays as it is."""
    _, mark, rest = origin.partition("://")
    return rest.partition("/")[0] if mark else origin
