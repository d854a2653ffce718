"""`framegate doctor`: what is not as it should be in the whole fleet, or soon will not be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import typer

from framegate.federation.bundle import DOMAIN_SUFFIX
from framegate_host.certificate_end import AHEAD, SHARE, renewal
from framegate_host.console import EXIT_FAILED, show_json, talk
from framegate_operator.answers import posture_of
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.options import Context, Output, read
from framegate_operator.output import errors, show_table
from framegate_proto.v1 import framegate_pb2 as pb

_SIGNS: Final = frozenset({"present", "coming"})
_ROOT: Final = "a root is not rotated: found a new fleet, and have its machines join it"
SOON_MS: Final = int(AHEAD.total_seconds() * 1000)
"""What ends within thirty days is told."""
EARLIER_SOON_MS: Final = SOON_MS // SHARE
"""Of a certificate of which only the end is known: an earlier version made it, for thirty days."""
DEPLOYED_AFTER_MS: Final = SOON_MS
"""A line that nobody gave another certificate for so long is not there any more."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing: of whom, what it is about, what was seen, what to do."""

    who: str
    about: str
    seen: str
    do: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Something that ends by itself, at `ends_ms` since the epoch, what goes on then, how long
    before it is told, and how long after: None for as long as it is there.
    """

    name: str
    ends_ms: int
    do: str
    soon_ms: int = SOON_MS
    after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine said of itself when it last attested."""

    name: str
    kind: str
    state: str
    maintenance: bool
    posture: dict[str, Any]

    @property
    def version(self) -> str:
        """Of its agent; empty where it never said."""
        return str(self.posture.get("agent_version", ""))

    @property
    def code(self) -> str:
        """The digest of its agent's files."""
        return str(self.posture.get("agent_sha256", ""))


@read
def doctor(output: Output = "table", context: Context = None) -> None:
    """Look over the whole fleet: states, versions and code that drift apart, clocks, reboots that
    wait, authorities, certificates that were handed out or lie on the controller's host, revocation
    lists and signatures on profiles that end within 30 days. Exit code 1 where there is something.
    """
    with errors():
        with operator_stub(load_context(context)) as stub:
            devices = stub.List(pb.ListRequest()).devices
            shown = [stub.Show(pb.DeviceRequest(device=d.device)) for d in devices]
            known = stub.ShowCa(pb.ListRequest())
            makers = stub.ListTpmCas(pb.ListRequest()).authorities
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        machines = [_machine(detail) for detail in shown]
        endings = of_endings(_endings(known, makers), now_ms)
        troubles = [*of_machines(machines), *endings, *of_brokers(known.brokers)]
        if output == "json":
            show_json([asdict(t) for t in troubles])
        else:
            rows = [(t.who, t.about, t.seen, t.do) for t in troubles]
            told = (
                f"{len(machines)} machines: states, versions, code, clocks, reboots and endings are"
                " in order; whether frames come: framegate status"
                if machines
                else "no machines yet: framegate camera invite NAME --profile PROFILE"
            )
            show_table(("who", "about", "seen", "do"), rows, empty=told)
        if troubles:
            if output != "json":
                talk.print(f"{len(troubles)} things in {len(machines)} machines")
            raise typer.Exit(EXIT_FAILED)


def of_machines(machines: Sequence[Machine]) -> Iterator[Trouble]:
    """What is wrong with machines, those in maintenance left out."""
    watched = [m for m in machines if not m.maintenance and m.state != "retired"]
    for m in watched:
        if m.state != "trusted":
            yield Trouble(m.name, "state", m.state, f"framegate {m.kind} why {m.name}")
        if m.posture.get("clock_synchronised") is False:
            do = "on the machine: timedatectl set-ntp true"
            yield Trouble(m.name, "clock", "not synchronised", do)
        if m.posture.get("reboot_pending") is True:
            do = f"framegate maintenance start {m.name}; reboot it"
            yield Trouble(m.name, "reboot", "an update waits for one", do)
    yield from _drift(watched)


def _drift(machines: Sequence[Machine]) -> Iterator[Trouble]:
    """Agents of another version than most, and of most's version with other code."""
    versions = Counter(m.version for m in machines if m.version)
    if not versions:
        return
    usual = versions.most_common(1)[0][0]
    codes = Counter(m.code for m in machines if m.version == usual)
    code = codes.most_common(1)[0][0]
    for m in machines:
        if m.version and m.version != usual:
            do = f"bring it to {usual}, as {versions[usual]} others"
            yield Trouble(m.name, "version", m.version, do)
        elif m.version == usual and m.code != code:
            do = f"{usual} of most is {code[:12]}: reinstall it, and ask who changed it"
            yield Trouble(m.name, "code", f"{usual}, but {m.code[:12]}", do)


def of_endings(endings: Iterable[Ending], now_ms: int) -> Iterator[Trouble]:
    """What has ended or ends within its `soon_ms`, the soonest first."""
    for one in sorted(endings, key=lambda e: e.ends_ms):
        left_ms = one.ends_ms - now_ms
        forgotten = one.after_ms is not None and -left_ms > one.after_ms
        if left_ms < one.soon_ms and not forgotten:
            day = datetime.fromtimestamp(one.ends_ms / 1000, UTC)
            said = "ended" if left_ms <= 0 else f"{left_ms // 86_400_000} days left"
            yield Trouble(one.name, "end", f"{said}, {day:%F}", one.do)


def _machine(detail: pb.DeviceDetail) -> Machine:
    s = detail.summary
    posture = posture_of(detail)
    return Machine(s.name, s.kind, s.state, bool(s.maintenance_until_ms), posture)


def _endings(known: pb.CaReply, makers: Iterable[pb.TpmCa]) -> Iterator[Ending]:
    for row in known.rows:
        if row.state in _SIGNS and not row.label.endswith(" key"):  # those renew themselves
            do = f"framegate ca rotate {row.label}"
            yield Ending(row.label, row.not_after_ms, _ROOT if row.label == "root" else do)
    for deployed in known.deployed:
        yield Ending(
            deployed.name,
            deployed.ends_ms,
            _issue(deployed.name),
            _soon_ms(deployed.begins_ms, deployed.ends_ms),
            DEPLOYED_AFTER_MS,
        )
    for other in known.others:
        soon = _soon_ms(other.begins_ms, other.ends_ms)
        yield Ending(other.name, other.ends_ms, other.next, soon)
    for maker in makers:
        do = "framegate trust add-tpm-ca FILE, the maker's next one"
        yield Ending(maker.subject[:40], maker.expires_ms, do)


def of_brokers(told: Iterable[pb.BrokerEnd]) -> Iterator[Trouble]:
    """What gateways and lines saw of their broker's certificate at their last look. What to do is
    no word of theirs: somebody types it.
    """
    for one in told:
        at = datetime.fromtimestamp(one.at_ms / 1000, UTC)
        seen, _, _ = one.said.partition(": ")
        yield Trouble(one.reporter, "broker", f"{seen} (seen {at:%F %H:%M} UTC)", renewal("broker"))


def _soon_ms(begins_ms: int, ends_ms: int) -> int:
    return min(SOON_MS, (ends_ms - begins_ms) // SHARE) if begins_ms else EARLIER_SOON_MS


def _issue(name: str) -> str:
    """What gives a line, an enforcer or a server its next certificate: names of the first two begin
    with their kind, a server's ends as every fleet's do.
    """
    if name.endswith(DOMAIN_SUFFIX):
        return renewal(name, "where it is shown")
    kind, _, rest = name.partition(".")
    zone, _, enforcer = rest.rpartition(".")
    given = f"{enforcer} --zone {zone}" if zone else rest
    return f"framegate-controller {kind}-certificate {given} --out FOLDER; restart it"
