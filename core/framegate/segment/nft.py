"""A segment as nftables rules between zones (table `inet framegate`), for nft 1.0.6 and later.

Pure, and the same text for the same segment. There is no general `established accept`: packets of
both directions are looked up, so that an element's end is the end of its live streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from framegate.segment.policy import Binding, Conduit, End, Mode, Segment, SegmentZone
from framegate.segment.refusal import NO_CONDUIT, VERDICTS, Told, Verdict, Why
from framegate.segment.trusted_sets import address_set, source_set, trusted_zones

TABLE: Final = "framegate"
LOG_GROUP: Final = 10
MAX_ELEMENTS: Final = 65_536
_LOG_RATE: Final = "limit rate 1000/second burst 2000 packets"
"""Packets told of, each rule: who floods is counted, and told of as far as a reader comes along."""
_FAMILIES: Final = ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr"))
_ROUTINE: Final = (
    "nd-router-solicit",
    "mld-listener-query",
    "mld-listener-report",
    "mld2-listener-report",
    "mld-listener-done",
)
"""What every host sends unasked (RFC 4861, RFC 3810): not answered, and nothing to tell of."""
_COPIED: Final = 96
"""Bytes of a logged packet: headers of IPv6 and TCP, with room for options."""


def rules_of(segment: Segment) -> str:
    """The table as `nft -f` takes it: one transaction that puts every rule anew and keeps the
    elements of sets, whose life goes on.
    """
    chains = [*_conduit_chains(segment), *_refusal_chains(segment)]
    lines = [f"add table inet {TABLE}"]
    for zone in trusted_zones(segment):
        lines += _sets(segment.zones[zone])
    lines += [f"add counter inet {TABLE} c_{name}" for name in segment.conduits]
    lines += [f"add counter inet {TABLE} {name}" for name in ("refused", "would_refuse")]
    lines += [_base("forward", "forward", "drop"), _base("input", "input", "accept")]
    lines += [f"add chain inet {TABLE} {c.name}" for c in chains]
    lines.append(f"flush table inet {TABLE}")
    lines += _rules("forward", _forward(segment))
    lines += _rules("input", _input(segment))
    for chain in chains:
        lines += _rules(chain.name, chain.rules)
    return "\n".join(lines) + "\n"


def log_of(told: Told) -> str:
    """The statement that tells of a packet."""
    return f'log prefix "{told.prefix}" group {LOG_GROUP} snaplen {_COPIED}'


def braced(values: Iterable[object]) -> str:
    """One of these: an anonymous set; one value is itself.

    The kernel ends an anonymous set's elements when it swaps rules, and a packet that is half-way
    through the old ones then finds none: a comparison has no such instant.
    """
    each = [str(v) for v in values]
    return each[0] if len(each) == 1 else "{ " + ", ".join(each) + " }"


def none_of(field: str, values: Iterable[object]) -> str:
    """That `field` is none of these, by comparisons alone: see `braced`."""
    return " ".join(f"{field} != {v}" for v in values)


def quoted(names: Iterable[str]) -> str:
    """An anonymous set of interfaces."""
    return braced(f'"{n}"' for n in names)


class _Chain:
    """A chain that others jump to."""

    def __init__(self, name: str, rules: Iterable[str]) -> None:
        self.name, self.rules = name, list(rules)


def _base(name: str, hook: str, policy: str) -> str:
    hooked = f"type filter hook {hook} priority filter; policy {policy};"
    return f"add chain inet {TABLE} {name} {{ {hooked} }}"


def _rules(chain: str, rules: Iterable[str]) -> list[str]:
    return [f"add rule inet {TABLE} {chain} {rule}" for rule in rules]


def _sets(zone: SegmentZone) -> Iterator[str]:
    for version, _, kind in _FAMILIES:
        timed = f"flags timeout; size {MAX_ELEMENTS};"
        yield f"add set inet {TABLE} {address_set(zone.name, version)} {{ type {kind}; {timed} }}"
        if zone.adjacent:
            pair = f"type {kind} . ether_addr; {timed}"
            yield f"add set inet {TABLE} {source_set(zone.name, version)} {{ {pair} }}"


def _forward(segment: Segment) -> Iterator[str]:
    """What passes through: conduits first, then whatever no conduit carries, strictest first."""
    yield "ct state invalid counter name refused drop"
    yield from (f"jump {_conduit_name(c)}" for c in segment.conduits.values())
    yield from _by_mode(segment, Why.NO_CONDUIT, ("iifname", "oifname"))
    yield "counter name refused drop"  # an interface of no zone


def _input(segment: Segment) -> Iterator[str]:
    """What is for the enforcer itself: out of zones nothing but neighbour discovery, and answers to
    its own connections.
    """
    inside = (f'"{i}"' for z in segment.zones.values() for i in z.interfaces)
    yield f"{none_of('iifname', inside)} accept"
    yield "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"
    yield "ct state established ct direction reply accept"
    yield f"icmpv6 type {braced(_ROUTINE)} drop"
    yield "ip protocol igmp drop"
    yield from _by_mode(segment, Why.TO_ENFORCER, ("iifname",))


def _by_mode(segment: Segment, why: Why, sides: tuple[str, ...]) -> Iterator[str]:
    for mode in (Mode.ENFORCE, Mode.STAGE, Mode.OBSERVE):
        names = [i for z in segment.zones.values() if z.mode is mode for i in z.interfaces]
        if names:
            yield from (
                f"{s} {quoted(names)} goto {_refusal(mode, NO_CONDUIT, why)}" for s in sides
            )


def _conduit_chains(segment: Segment) -> Iterator[_Chain]:
    for conduit in segment.conduits.values():
        yield _Chain(_conduit_name(conduit), _conduit_rules(segment, conduit))


def _conduit_rules(segment: Segment, conduit: Conduit) -> Iterator[str]:
    """A conduit's own packets, of both directions and families; all others go back."""
    source, destination = segment.zones[conduit.source], segment.zones[conduit.destination]
    there = f"iifname {quoted(source.interfaces)} oifname {quoted(destination.interfaces)}"
    back = f"iifname {quoted(destination.interfaces)} oifname {quoted(source.interfaces)}"
    out = f"ct direction original {there} {conduit.transport} dport {conduit.port}"
    answer = f"ct direction reply {back} {conduit.transport} sport {conduit.port}"
    allowed = log_of(Told(Verdict.ALLOW, conduit.name, Why.NONE))
    for version, ip, _ in _FAMILIES:
        to = _addressed(segment, conduit, version, f"{ip} daddr")
        if not to:  # nobody there has an address of this family
            continue
        near, far = _near(source, conduit, version, ip), to[1]
        passing = " ".join(p for p in (out, to[0], near, far) if p)
        yield f"{passing} ct state new {_LOG_RATE} {allowed}"
        yield f"{passing} counter name c_{conduit.name} accept"
        owner = f"{ip} daddr @{address_set(source.name, version)}" if near else ""
        answers = _addressed(segment, conduit, version, f"{ip} saddr")
        returning = " ".join(p for p in (answer, *answers, owner) if p)
        yield f"{returning} ct state established counter name c_{conduit.name} accept"
        if conduit.trust:
            yield from _untrusted(conduit, version, f"{out} {to[0]}", (near, far))
            yield from _untrusted(conduit, version, f"{answer} {answers[0]}", (owner, answers[1]))


def _untrusted(
    conduit: Conduit, version: int, packets: str, ends: tuple[str, str]
) -> Iterator[str]:
    """Packets of the conduit that no rule above accepted: which end is it that is missing."""
    near, far = ends
    if near:
        missing = near.replace(" @", " != @", 1)
        yield f"{packets} {missing} goto {_refusal(conduit.mode, conduit.name, Why.TRUST_FROM)}"
    if far:
        yield f"{packets} goto {_refusal(conduit.mode, conduit.name, Why.TRUST_TO)}"


def _near(source: SegmentZone, conduit: Conduit, version: int, ip: str) -> str:
    """That the near end is trusted; empty where it need not be."""
    if End.FROM not in conduit.trust:
        return ""
    if source.adjacent:
        return f"{ip} saddr . ether saddr @{source_set(source.name, version)}"
    return f"{ip} saddr @{address_set(source.name, version)}"


def _addressed(segment: Segment, conduit: Conduit, version: int, field: str) -> tuple[str, ...]:
    """(that the far end is bound, that it is trusted where it must be); empty where nobody there
    has an address of this family.
    """
    zone = conduit.destination
    bound = [a for b in _of_zone(segment, zone) for a in b.addresses if a.version == version]
    if not bound:
        return ()
    trusted = f"{field} @{address_set(zone, version)}" if End.TO in conduit.trust else ""
    return f"{field} {braced(bound)}", trusted


def _of_zone(segment: Segment, zone: str) -> list[Binding]:
    return [b for b in segment.bindings if b.zone == zone]


def _refusal_chains(segment: Segment) -> Iterator[_Chain]:
    for conduit in segment.conduits.values():
        for why, end in ((Why.TRUST_FROM, End.FROM), (Why.TRUST_TO, End.TO)):
            if end in conduit.trust:
                yield _refused(conduit.mode, conduit.name, why)
    for mode in sorted({z.mode for z in segment.zones.values()}):
        for why in (Why.NO_CONDUIT, Why.TO_ENFORCER):
            yield _refused(mode, NO_CONDUIT, why)


def _refused(mode: Mode, where: str, why: Why) -> _Chain:
    """Told of, and then dropped: a stream that stood gets a reset, a newcomer learns nothing."""
    told = Told(VERDICTS[mode], where, why)
    counted = "refused" if mode is Mode.ENFORCE else "would_refuse"
    # an answer to what was let through is no way of its own
    asked = "ct direction original " if mode is not Mode.ENFORCE else ""
    rules = [f"{asked}{_LOG_RATE} {log_of(told)}", f"counter name {counted}"]
    if mode is Mode.ENFORCE:
        if where != NO_CONDUIT:
            rules.append("meta l4proto tcp ct state established reject with tcp reset")
        rules.append("drop")
    else:
        rules.append("accept")
    return _Chain(_refusal(mode, where, why), rules)


def _conduit_name(conduit: Conduit) -> str:
    return f"c_{conduit.name}"


def _refusal(mode: Mode, where: str, why: Why) -> str:
    place = f"z_{mode}" if where == NO_CONDUIT else f"x_{where}"
    return f"{place}_{why}"


def closed_rules() -> str:
    """What holds where no policy was ever seen: nothing passes through this host."""
    lines = [
        f"add table inet {TABLE}",
        f"add counter inet {TABLE} refused",
        _base("forward", "forward", "drop"),
        f"flush table inet {TABLE}",
        *_rules("forward", ["counter name refused drop"]),
    ]
    return "\n".join(lines) + "\n"
