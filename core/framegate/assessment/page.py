"""Pages of HTML that people read, and that need nothing else: claims, and a review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from framegate.assessment.check import Checked, Status
from framegate.assessment.framework import Claimed, frameworks
from framegate.assessment.review import TRY, Compared, Effect, Moved, Review, to_do
from framegate.assessment.standing import Standing

_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:72em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
    "padding:.3em .8em}tbody tr:nth-child(odd){background:#8881}td{overflow-wrap:break-word}"
    "h2{margin-top:2em}.wide{overflow-x:auto}"
)
SUPPORTS: Final = (
    "A claim says that something of this fleet supports a control. It does not say that the "
    "control is met: that also takes what stands under “you must still”, and somebody who may "
    "judge it. What was not measured is not good."
)


def day(ms: int) -> str:
    """A time in UTC, to the minute."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def counted(statuses: Iterable[Status]) -> str:
    """How many came to what, in words."""
    every = list(statuses)
    return ", ".join(f"{every.count(s)} {s}" for s in Status if every.count(s)) or "none"


def entries_in_words(checked: Sequence[Checked], most: int = 6) -> str:
    """The entries that a few checks name."""
    indices = dict.fromkeys(i for c in checked for i in c.fact.entries)
    return ", ".join(map(str, list(indices)[:most]))


def claims_page(standing: Standing) -> str:
    """Every claim, framework by framework."""
    parts = [
        f"<p>{escape(SUPPORTS)}</p>",
        f"<p>Read from {standing.size} entries of the record, {day(standing.at_ms)}; evidence "
        f"until {day(standing.expires_ms)}.</p>",
    ]
    for name, claims in standing.claims.items():
        framework = frameworks()[name]
        words = (
            f"{framework.source}, {framework.version}. For: {framework.scope}. "
            f"Mapping {framework.mapping} of {framework.reviewed}, reviewed by "
            f"{framework.reviewer}. {counted(c.status for c in claims)}."
        )
        parts.append(f"<h2>{escape(framework.title)}</h2><p>{escape(words)}</p>")
        parts.append(_table(_CLAIM_HEADS, (_claim_cells(c) for c in claims)))
    title = f"What supports which control: fleet {standing.fleet}"
    return _page(title, parts)


_CLAIM_HEADS: Final = (
    "control",
    "supported by",
    "is",
    "facts",
    "entries",
    "next",
    "you must still",
)


def _claim_cells(claimed: Claimed) -> tuple[str, ...]:
    claim, said = claimed.claim, claimed.said
    facts = [f"{c.check.title}: {c.fact.words}, wanted {c.check.limit}" for c in claimed.checked]
    if said is not None:
        facts.append(f"{said.by} said {said.says} until {day(said.expires_ms)}: {said.because}")
    following = [c.check.following for c in claimed.checked if c.status != Status.PASS]
    return (
        f"{claim.control}: {claim.title}",
        claim.supports,
        claimed.status.value,
        "; ".join(facts),
        entries_in_words(claimed.checked),
        "; ".join(dict.fromkeys(following)),
        claim.customer,
    )


def review_page(found: Review, fleet: str) -> str:
    """A review as a page."""
    title = f"Review of fleet {fleet}: {day(found.from_ms)} to {day(found.to_ms)}"
    parts = []
    for heading, moved in _REVIEW:
        rows = [c for c in found.compared if c.moved in moved]
        parts.append(f"<h2>{heading}</h2>")
        parts.append(_table(("check", "before", "now", "is"), map(compared_cells, rows)))
    parts.append("<h2>What was changed, and what came of it</h2>")
    parts.append(_table(EFFECT_HEADS, map(effect_cells, found.effects)))
    parts.append("<h2>What to do</h2>")
    todo = ((c.check.title, c.status.value, c.check.following) for c in to_do(found.compared))
    parts.append(_table(("check", "is", "next"), todo))
    return _page(title, parts)


_REVIEW: Final[Sequence[tuple[str, tuple[Moved, ...]]]] = (
    ("What improved", (Moved.IMPROVED,)),
    ("What did not", (Moved.WORSE, Moved.SAME)),
    ("What has data only now, or none any more", (Moved.NEW, Moved.GONE)),
    ("What was measured neither then nor now", (Moved.UNMEASURED,)),
)
EFFECT_HEADS: Final = ("when", "entry", "change", "by", "tried before", "week before", "week after")


def compared_cells(compared: Compared) -> tuple[str, ...]:
    """One line of a review."""
    after = compared.after
    return after.check.title, compared.before.fact.words, after.fact.words, after.status.value


def effect_cells(effect: Effect) -> tuple[str, ...]:
    """One change of a review."""
    tried = "yes" if effect.tried else f"no: {TRY[effect.event]}"
    after = "not over" if effect.after is None else f"{effect.after} {effect.counted}"
    return (
        day(effect.at_ms),
        str(effect.index),
        f"{effect.event}: {effect.what}",
        effect.by,
        tried,
        f"{effect.before} {effect.counted}",
        after,
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "\n".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in r) + "</tr>" for r in rows)
    if not body:
        return "<p>Nothing.</p>"
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _page(title: str, parts: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def by_status(claims: Mapping[str, Sequence[Claimed]]) -> dict[str, str]:
    """Of each framework how many claims came to what."""
    return {name: counted(c.status for c in own) for name, own in claims.items()}
