"""Who was what when: lanes over time, drawn as SVG with its values on hover. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from keepwell.server.ui.words import day


@dataclass(frozen=True, slots=True)
class Stay:
    """A version held a place.

    Attributes:
        lane: the place: an environment, an alias, a stage.
        name: of the version, as it is written on the bar.
        since: from when on.
        until: to when; None: it still does.
        said: the same in words.
        href: its page.
    """

    lane: str
    name: str
    since: datetime
    until: datetime | None
    said: str
    href: str | None = None


def draw(stays: Sequence[Stay], now: datetime, *, label: str) -> Markup:
    """Return a lane a place, oldest on the left, the present on the right; bars of one version look alike everywhere.

    Bars are places in per cent, so that their texts keep their size at any width.
    """
    if not stays:
        return Markup()
    first = min(one.since for one in stays)
    whole = max((now - first) / timedelta(seconds=1), 1.0)
    names = list(dict.fromkeys(one.name for one in sorted(stays, key=lambda one: one.since)))
    rows = [
        Markup('<span class="lane-name">{}</span>{}').format(
            lane, _lane([one for one in stays if one.lane == lane], first, whole, now, names)
        )
        for lane in dict.fromkeys(one.lane for one in stays)
    ]
    return Markup(
        '<div class="lanes" role="group" aria-label="{}">{}<div class="ends"><span>{}</span>'
        "<span>now</span></div></div>"
    ).format(label, Markup().join(rows), day(first))


def _lane(stays: Sequence[Stay], first: datetime, whole: float, now: datetime, names: Sequence[str]) -> Markup:
    drawn = []
    rows = _rows(stays, now)
    for one, row in rows:
        start = 100 * ((one.since - first) / timedelta(seconds=1)) / whole
        wide = max(0.6, 100 * (((one.until or now) - one.since) / timedelta(seconds=1)) / whole)
        start = min(start, 100 - wide)
        bar = Markup(
            '<svg x="{x}%" y="{y}" width="{w}%" height="26" class="stay shade-{shade}{now}"><title>{said}</title>'
            '<rect x="0" y="1" width="100%" height="24" rx="4"/><text x="7" y="18">{name}</text></svg>'
        ).format(
            x=f"{start:.2f}", y=26 * row, w=f"{wide:.2f}", shade=names.index(one.name) % 4, said=one.said,
            name=one.name, now=" present" if one.until is None else "",
        )  # fmt: skip
        drawn.append(Markup('<a href="{}">{}</a>').format(one.href, bar) if one.href else bar)
    return Markup('<svg class="lane" width="100%" height="{}" role="img" aria-label="{}">{}</svg>').format(
        26 * (1 + max(row for _, row in rows)), "; ".join(one.said for one in stays), Markup().join(drawn)
    )


def _rows(stays: Sequence[Stay], now: datetime) -> list[tuple[Stay, int]]:
    """Return each stay with a row of its lane where no other stands at the same time."""
    free: list[datetime] = []
    made = []
    for one in sorted(stays, key=lambda one: one.since):
        row = next((place for place, until in enumerate(free) if until <= one.since), len(free))
        free[row:] = [one.until or now, *free[row + 1 :]]
        made.append((one, row))
    return made
