"""What a segment costs and how soon it cuts, in network namespaces of this host (`make
bench-segment`, as root). A trust event is the enforcer's: what the feed and the controller take
before it is measured elsewhere.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from framegate.segment.refusal import Verdict
from framegate.segment.trusted_sets import Element
from framegate_segment.drops import DropBook
from framegate_segment.enforcement.enforcer import Standing
from framegate_segment.netlink.set_elements import Life
from framegate_segment.sightings import flow_of
from framegate_simulators.bench.segment_doors import doors
from framegate_simulators.plant.namespaces import ROUTER, Network, unavailable
from framegate_simulators.plant.segment_plan import planned_segment
from framegate_simulators.plant.segment_site import CAM1, GW1, Site
from framegate_simulators.plant.streams import Receiver, Sender, reaches

SETTLE_S: Final = 30.0
"""How long something that has to come may take on a machine under load."""
RESUMED_S: Final = 5.0
"""How long a stream that was cut is asked whether it goes on, trust being back."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure beside what it has to be."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def good(self) -> bool:
        """Whether it is within its limit."""
        return self.value <= self.limit


@contextmanager
def site(**plan: object) -> Iterator[Site]:
    """A network with an enforcer, for the length of a block."""
    with Network() as network:
        made = Site(network, planned_segment(**plan))  # type: ignore[arg-type]
        try:
            yield made
        finally:
            made.close()


def cuts(here: Site, times: int) -> list[Measured]:
    """A live stream, a message a millisecond, revoked again and again: until its last byte, and
    what of that is the removal.
    """
    last_ms, removals, verified, left = [], [], [], 0
    with Receiver(here.network, "gw", 7443) as receiver:
        for number in range(times):
            here.trust(CAM1, GW1)
            to = here.gateway.address if number % 2 else here.gateway.address6
            with Sender(here.network, "cam1", (to, 7443)) as stream:
                came = receiver.of(stream.name)
                until(lambda came=came: came.count > 20)
                heard = here.revoke()
                (cut,) = here.finish()
                time.sleep(0.1)
                last_ms.append((came.last_s - heard) * 1000)
                removals.append(cut.removal_ms)
                verified.append(cut.verified_ms)
                left += cut.left
    return [
        Measured("trust event to last byte, p99", p99(last_ms), 50, "ms"),
        Measured("of which removal, p99", p99(removals), 5, "ms"),
        Measured("until both tables were read back, p99", p99(verified), 50, "ms"),
        Measured("left in the kernel's tables", left, 0, "entries"),
    ]


def survivors(here: Site, streams: int) -> list[Measured]:
    """Streams of both families, half of them idle, revoked at once; trust comes back, and they try
    to go on.
    """
    here.trust(CAM1, GW1)
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(here.network, "gw", 7443))
        senders = [
            stack.enter_context(
                Sender(
                    here.network,
                    "cam1",
                    (here.gateway.address if n % 2 else here.gateway.address6, 7443),
                    every_s=0.05 if n % 4 < 2 else 0,
                )
            )
            for n in range(streams)
        ]
        for idle in senders:
            idle.send()
        until(lambda: all(receiver.of(s.name).count for s in senders))
        here.revoke()
        here.finish()
        time.sleep(0.2)
        before = {s.name: receiver.of(s.name).count for s in senders}
        here.trust(CAM1)
        end = time.monotonic() + RESUMED_S
        while time.monotonic() < end:
            for each in senders:
                each.send()
            time.sleep(0.25)
        alive = sum(receiver.of(s.name).count > before[s.name] for s in senders)
    return [
        Measured(f"of {streams} streams survived or resumed", alive, 0, "streams"),
    ]


def ends_by_itself(life_s: int) -> list[Measured]:
    """Nobody renews any more, as where the enforcer was killed: how long the stream goes on beyond
    its elements' life.
    """
    with site(life_s=life_s) as here, Receiver(here.network, "gw", 7443) as receiver:
        here.trust(CAM1, GW1)
        begun = time.monotonic()
        here.kernel.close()
        with Sender(here.network, "cam1", (here.gateway.address, 7443)) as stream:
            time.sleep(life_s + 1.0)
            beyond = receiver.of(stream.name).last_s - begun - life_s
    return [Measured("beyond an element's life, nobody renewing", beyond * 1000, 50, "ms")]


def losses(here: Site, renewals: int, swaps: int) -> list[Measured]:
    """Datagrams without a gap while elements are renewed and rules are put anew."""
    here.trust(CAM1, GW1)
    with (
        Receiver(here.network, "gw", 7443, kind="udp") as receiver,
        Sender(here.network, "cam1", (here.gateway.address, 7443), kind="udp") as stream,
    ):
        came = receiver.of(stream.name)
        until(lambda: came.count > 10)
        for number in range(renewals):
            here.trust(CAM1, GW1)
            if number % 50 == 0:
                time.sleep(0.001)
        took: list[float] = []
        for _ in range(swaps):
            begun = time.monotonic()
            here.enforcer.enforce(here.segment)
            took.append((time.monotonic() - begun) * 1000)
        stream.stop()
        until(lambda: len(came.numbers) >= stream.sent, 2.0)
        lost = stream.sent - len(came.numbers)
    what = f"packets lost over {renewals} renewals and {swaps} swaps"
    return [
        Measured(what, lost, 0, f"of {stream.sent}"),
        Measured("a swap of all rules, p50", statistics.median(took), 50, "ms"),
    ]


def updates(here: Site, elements: int, times: int) -> list[Measured]:
    """One element renewed where there are many."""
    many = [
        Life(Element("t_gateways4", struct.pack("!I", 0x0B000000 + n)), 600_000)
        for n in range(elements)
    ]
    begun = time.monotonic()
    for at in range(0, elements, 1_000):
        here.kernel.put(many[at : at + 1_000])
    filled = (time.monotonic() - begun) * 1000
    took = []
    for number in range(times):
        begun = time.monotonic()
        here.kernel.put([many[number * 7 % elements]])
        took.append((time.monotonic() - begun) * 1e6)
    here.kernel.remove([m.element for m in many])
    return [
        Measured(f"an update at {elements} elements, p50", statistics.median(took), 100, "µs"),
        Measured(f"{elements} elements put", filled, 1_000, "ms"),
    ]


def explained(here: Site, times: int, folder: Path) -> list[Measured]:
    """From a refused packet to its explanation, and how many had conduit and reason."""
    _drained(here.log.read)
    book, took, named = DropBook(folder / "drops.jsonl", here.enforcer, 1_000), [], 0
    here.enforcer.update({CAM1: Standing("quarantined", 0)})
    for _ in range(times):
        begun = time.monotonic()
        with Sender(here.network, "cam1", (here.gateway.address, 7443), kind="udp", every_s=0) as s:
            s.send()
        drop = None
        while drop is None and time.monotonic() - begun < SETTLE_S:
            for packet in here.log.read():
                if packet.told.verdict is Verdict.DROP and packet.destination_port == 7443:
                    drop = book.add(packet, flow_of(here.segment, packet))
        took.append((time.monotonic() - begun) * 1000)
        named += drop is not None and drop.conduit == "beats" and CAM1 in drop.because
    return [
        Measured("refused packet to explained, p99", p99(took), 100, "ms"),
        Measured("explanations without conduit or reason", times - named, 0, f"of {times}"),
    ]


def repairs(here: Site, times: int) -> list[Measured]:
    """Somebody flushes the ruleset: until ours is back, whole, with who is trusted."""
    here.trust(CAM1, GW1)
    _drained(here.kernel.events.read)
    took, missed = [], 0
    for _ in range(times):
        here.network.run(ROUTER, "nft", "flush", "ruleset")
        begun = time.monotonic()
        changes = here.kernel.events.read()
        missed += not changes
        here.enforcer.enforce(here.segment)
        took.append((time.monotonic() - begun) * 1000)
        here.kernel.events.read()
    with Receiver(here.network, "gw", 7443):
        open_again = reaches(here.network, "cam1", (here.gateway.address, 7443))
    return [
        Measured("foreign flush to put right, p99", p99(took), 25, "ms"),
        Measured("foreign flushes that were not heard", missed, 0, f"of {times}"),
        Measured("trusted streams that stayed closed", not open_again, 0, ""),
    ]


def _drained(read: Callable[[], Sequence[object]]) -> None:
    """What figures before this one left unread is none of it."""
    while read():
        pass


def until(condition: object, within_s: float = SETTLE_S) -> None:
    """Wait for it; a condition that does not come shows in the figures."""
    end = time.monotonic() + within_s
    while not condition() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.002)


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred passes."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def measure(folder: Path, *, quick: bool = False) -> list[Measured]:
    """Every figure; `quick` for few rounds."""
    rounds = 10 if quick else 100
    figures: list[Measured] = []
    with site() as here:
        figures += cuts(here, rounds)
        figures += survivors(here, 20 if quick else 200)
        figures += losses(here, 100 if quick else 1_000, 20 if quick else 200)
        figures += updates(here, 1_000 if quick else 10_000, 200 if quick else 2_000)
        figures += explained(here, rounds, folder)
        figures += repairs(here, 5 if quick else 20)
    figures += ends_by_itself(5)
    figures += _at_doors(folder, 2 if quick else 5)
    return figures


def _at_doors(folder: Path, times: int) -> list[Measured]:
    with tempfile.TemporaryDirectory(prefix="doors-", dir=folder) as name:
        at = doors(Path(name), times)
    if at.why:
        print(f"802.1X is not measured: {at.why}", file=sys.stderr)
        return []
    return [
        Measured("EAP start to admitted with a TPM's key, most", at.admitted_ms, 500, "ms"),
        Measured("a session ended by RADIUS, most", at.ended_ms, 20, "ms"),
        Measured("until the port was shut and read back, most", at.shut_ms, 50, "ms"),
    ]


def main() -> int:
    """Print every figure beside its limit; 1 where one is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("build/bench-segment.json"))
    given = parser.parse_args()
    if why := unavailable():
        print(f"bench-segment: {why}", file=sys.stderr)
        return 2
    logging.getLogger("framegate_segment").setLevel(logging.ERROR)  # ports without hostapd
    given.out.parent.mkdir(parents=True, exist_ok=True)
    figures = measure(given.out.parent, quick=given.quick)
    for each in figures:
        mark = "ok " if each.good else "OVER"
        print(f"{mark:<5}{each.value:10.3f} {each.unit:<8} (≤ {each.limit:g})  {each.name}")
    given.out.write_text(json.dumps([asdict(f) for f in figures], indent=1) + "\n")
    print("not measured: real switches")
    return 0 if all(f.good for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
