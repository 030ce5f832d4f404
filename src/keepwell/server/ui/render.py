"""Templates and what they can use: filters for numbers, times, ids and states; `page` renders one inside the frame.

A page's handler ends in `return page(ask, "fleet.html", title="...", nav="models", crumbs=[("Fleets", "/models")],
json=f"/api/models/{name}", **what_the_template_needs)`. The template extends `base.html` and fills `content`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup, escape

from keepwell.governance.identity_rules import Principal, may
from keepwell.server.routing import Ask, Html
from keepwell.server.ui import charts, drawings, links, words
from keepwell.server.ui.static_files import asset

COPY = Markup(
    '<svg viewBox="0 0 16 16" aria-hidden="true"><rect x="5.5" y="5.5" width="8" height="9" rx="1.5"/>'
    '<path d="M10.5 3.5V3A1.5 1.5 0 0 0 9 1.5H4A1.5 1.5 0 0 0 2.5 3v7A1.5 1.5 0 0 0 4 11.5"/></svg>'
)
NAVIGATION = (
    ("today", "Today", "/"),
    ("models", "Fleets", "/models"),
    ("data", "Data", "/data"),
    ("runs", "Runs", "/runs"),
    ("decisions", "Decisions", "/decisions"),
    ("ledger", "Ledger", "/ledger"),
)
"""Key, word and address of each place; the second says `Fleets and models` where there is room."""


def badge(state: str, word: str | None = None) -> Markup:
    """Return a state as a sign and a word; the colour repeats what they say."""
    tone = words.tone_of(state)
    return Markup('<span class="badge {}"><span class="sign" aria-hidden="true">{}</span>{}</span>').format(
        tone, words.SIGNS[tone], word or state
    )


def short_id(text: str | None, link: str | None = None) -> Markup:
    """Return an id shortened, with a button that copies the whole one; linked to its page when it has one."""
    if not text:
        return Markup('<span class="quiet">none</span>')
    target = link if link is not None else links.of_id(text)
    shown = Markup("<code>{}</code>").format(words.short(text))
    if target:
        shown = Markup('<a href="{}">{}</a>').format(target, shown)
    return Markup(
        '<span class="id" title="{0}">{1}<button type="button" class="copy" data-copy="{0}" '
        'aria-label="Copy {0}">{2}</button></span>'
    ).format(text, shown, COPY)


def moment(value: datetime | None, now: datetime) -> Markup:
    """Return a moment relative to now, with the exact one on hover."""
    if value is None:
        return Markup('<span class="quiet">never</span>')
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        words.machine(value), words.exact(value), words.ago(value, now)
    )


def data_block(name: str, value: object) -> Markup:
    """Return data for our script as a JSON block, which no script engine runs; `<` is escaped."""
    text = msgspec.json.encode(value).decode().replace("<", "\\u003c").replace("&", "\\u0026")
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, Markup(text))  # noqa: S704


def paragraphs(text: str) -> Markup:
    """Return plain text with its line ends kept."""
    return Markup("<br>").join(escape(line) for line in text.splitlines())


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or "keepwell.server.ui", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "number": words.number,
        "percent": words.percent,
        "metric": words.metric,
        "metric_name": words.metric_name,
        "size": words.size,
        "duration": words.duration,
        "short": words.short,
        "plural": words.plural,
        "span": words.span,
        "segment": words.segment_words,
        "person": words.person,
        "exact": words.exact,
        "day": words.day,
        "id": short_id,
        "badge": badge,
        "tone": words.tone_of,
        "paragraphs": paragraphs,
    }
    made.globals |= {"links": links, "asset": asset, "charts": charts, "data_block": data_block, "signs": words.SIGNS,
                     "ratios": words.RATIOS, "percent_say": words.percent, "number_say": words.number,
                     "distribution": drawings.distribution, "strip": drawings.strip,
                     "weekly": drawings.weeks}  # fmt: skip
    return made


TEMPLATES = _environment()


def compile_all() -> None:
    """Compile every template, so that the first visitor need not wait for it."""
    for name in TEMPLATES.list_templates():
        TEMPLATES.get_template(name)


def page(
    ask: Ask[Any, Any],
    template: str,
    *,
    title: str,
    nav: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
    json: str | None = None,
    status: int = 200,
    **context: object,
) -> Html:
    """Return a page inside the frame.

    Args:
        ask: the request.
        template: file under `templates/`.
        title: of the page.
        nav: key of the place in `NAVIGATION` that it belongs to.
        crumbs: (word, address) from the outside in, without the page itself.
        json: address of the same as JSON.
        status: of the answer.
        context: what the template needs besides.
    """
    now = ask.kit.clock.now()
    return Html(
        render(template, ask.who, now, title=title, nav=nav, crumbs=crumbs, json=json, at=ask.at, **context), status
    )


def render(
    template: str,
    who: Principal | None,
    now: datetime | None,
    *,
    title: str,
    nav: str = "",
    crumbs: Sequence[tuple[str, str]] = (),
    json: str | None = None,
    at: str = "/",
    **context: object,
) -> str:
    """Return a template inside the frame as text; `now` is None where no clock is at hand."""

    def when(value: datetime | None) -> Markup:
        return moment(value, now) if now is not None else Markup("")

    return TEMPLATES.get_template(template).render(
        title=title,
        nav=nav,
        crumbs=list(crumbs),
        json=json,
        at=at,
        navigation=NAVIGATION,
        who=who,
        may=lambda permission: who is not None and may(who, permission),
        open_house=who is not None and who.via == "none",
        now=now,
        when=when,
        **context,
    )
