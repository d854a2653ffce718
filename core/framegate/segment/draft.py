"""What a draft of a segment changes, in what may pass: worked out of both, not out of their lines,
so that a small change that opens much is shown as that (N167).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from framegate.segment.policy import Conduit, End, Mode, Segment


class Effect(StrEnum):
    """Which way a change goes."""

    OPENS = "opens"
    CLOSES = "closes"
    MOVES = "moves"  # who is where: neither wider nor narrower by itself


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, in words."""

    effect: Effect
    what: str


_STRICT = {mode: n for n, mode in enumerate(Mode)}


def changes_between(
    before: Mapping[str, Segment], after: Mapping[str, Segment]
) -> tuple[Change, ...]:
    """Every difference in what may pass, what opens first."""
    changes: list[Change] = []
    for name in sorted(set(before) | set(after)):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            what = "is segmented from now on" if old is None else "is segmented no more"
            effect = Effect.CLOSES if old is None else Effect.OPENS
            changes.append(Change(effect, f"{name}: {what}"))
        if new is not None:
            changes += _changes(old, new)
    order = list(Effect)
    return tuple(sorted(changes, key=lambda c: order.index(c.effect)))


def _changes(old: Segment | None, new: Segment) -> Iterator[Change]:
    before = old.conduits if old is not None else {}
    for name in sorted(set(before) | set(new.conduits)):
        yield from _of_conduit(before.get(name), new.conduits.get(name), name)
    if old is None:
        return
    for name in sorted(set(old.zones) | set(new.zones)):
        yield from _of_zone(old, new, name)
    if old.life_s != new.life_s:
        effect = Effect.OPENS if new.life_s > old.life_s else Effect.CLOSES
        yield Change(effect, f"life of an element: {old.life_s} s, then {new.life_s} s")
    yield from _of_bindings(old, new)


def _of_conduit(old: Conduit | None, new: Conduit | None, name: str) -> Iterator[Change]:
    if new is None:
        if old is not None:
            yield Change(Effect.CLOSES, f"conduit {name} is gone: {_words(old)}")
        return
    if old is None:
        yield Change(Effect.OPENS, f"conduit {name}: {_words(new)}")
        return
    if _ends(old) != _ends(new):
        yield Change(Effect.OPENS, f"conduit {name}: {_words(new)}, so far {_words(old)}")
        return
    for end in sorted(old.trust - new.trust):
        zone = new.source if end is End.FROM else new.destination
        yield Change(Effect.OPENS, f"conduit {name}: {zone} needs no trust any more")
    for end in sorted(new.trust - old.trust):
        zone = new.source if end is End.FROM else new.destination
        yield Change(Effect.CLOSES, f"conduit {name}: {zone} has to be trusted")
    yield from _of_mode(f"conduit {name}", old.mode, new.mode)


def _of_zone(old: Segment, new: Segment, name: str) -> Iterator[Change]:
    a, b = old.zones.get(name), new.zones.get(name)
    if a is None or b is None:
        effect = Effect.OPENS if b is None else Effect.CLOSES
        yield Change(effect, f"zone {name} is {'gone' if b is None else 'new'}")
        return
    yield from _of_mode(f"zone {name}", a.mode, b.mode)
    if a.peers != b.peers:
        word = "may" if b.peers else "may not"
        effect = Effect.OPENS if b.peers else Effect.CLOSES
        yield Change(effect, f"zone {name}: its hosts {word} speak to each other")
    if a.dot1x != b.dot1x:
        effect = Effect.CLOSES if b.dot1x else Effect.OPENS
        word = "are closed until" if b.dot1x else "need no"
        yield Change(effect, f"zone {name}: its ports {word} 802.1X")
    if a.adjacent != b.adjacent:
        effect = Effect.CLOSES if b.adjacent else Effect.OPENS
        word = "are" if b.adjacent else "are no longer"
        yield Change(effect, f"zone {name}: MAC addresses {word} held against bindings")
    for what, was, now in (
        ("interface", a.interfaces, b.interfaces),
        ("guarded port", a.ports, b.ports),
        ("own address", a.gateway, b.gateway),
    ):
        yield from (Change(Effect.MOVES, f"zone {name}: {what} {i} new") for i in _new(now, was))
        gone = Effect.OPENS if what != "interface" else Effect.MOVES
        yield from (Change(gone, f"zone {name}: {what} {i} gone") for i in _new(was, now))


def _new(now: tuple[object, ...], was: tuple[object, ...]) -> list[object]:
    return [i for i in now if i not in was]


def _of_mode(what: str, old: Mode, new: Mode) -> Iterator[Change]:
    if old is not new:
        effect = Effect.CLOSES if _STRICT[new] > _STRICT[old] else Effect.OPENS
        yield Change(effect, f"{what}: {new}, so far {old}")


def _of_bindings(old: Segment, new: Segment) -> Iterator[Change]:
    before = {b.label: b for b in old.bindings}
    after = {b.label: b for b in new.bindings}
    for label in sorted(set(before) | set(after)):
        a, b = before.get(label), after.get(label)
        if b is None:
            yield Change(Effect.CLOSES, f"{label} is bound no more")
        elif a is None:
            at = f" at {b.port}" if b.port else ""
            where = f"{', '.join(map(str, b.addresses))}{at}, zone {b.zone}"
            yield Change(Effect.OPENS, f"{label} is bound to {where}")
        elif a != b:
            yield Change(Effect.MOVES, f"{label}: {_where(b)}, so far {_where(a)}")


def _where(binding: object) -> str:
    parts = (getattr(binding, n) for n in ("zone", "port", "mac"))
    addresses = ", ".join(map(str, getattr(binding, "addresses", ())))
    return " ".join([*(p for p in parts if p), addresses])


def _ends(conduit: Conduit) -> tuple[str, ...]:
    return (conduit.source, conduit.destination, conduit.transport, str(conduit.port))


def _words(conduit: Conduit) -> str:
    trust = " and ".join(e for e in End if e in conduit.trust) or "nobody"
    return (
        f"{conduit.source} to {conduit.destination}, {conduit.transport}/{conduit.port}, "
        f"trusted: {trust}, {conduit.mode}"
    )
