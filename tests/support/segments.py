"""A segment, a packet filter that only remembers, and an enforcer between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from framegate.segment.trusted_sets import Element, elements_of
from framegate_segment.enforcement.enforcer import Enforcer, Standing
from framegate_segment.netlink.conntrack import Tracked
from framegate_simulators.plant.segment_plan import ZONE, planned_segment, segment_text

CAM1, CAM2, GW1 = "camera.line-1.cam1", "camera.line-1.cam2", "gateway.line-1.gw1"
__all__ = ["CAM1", "CAM2", "GW1", "ZONE", "FakeKernel", "Gate", "planned_segment", "segment_text"]


@dataclass
class FakeKernel:
    """Sets and connections as the kernel would have them. `did` is what was asked, in order."""

    now_s: float = 1000.0
    ends_s: dict[Element, float] = field(default_factory=dict)
    tracked: list[Tracked] = field(default_factory=list)
    did: list[str] = field(default_factory=list)
    rules: str = ""
    stuck: bool = False

    def install(self, rules):
        self.did.append("install")
        self.rules = rules

    def put(self, lives):
        self.did.append("put")
        for life in lives:
            self.ends_s[life.element] = self.now_s + life.left_ms / 1000

    def remove(self, elements):
        gone = [e for e in elements if e in self.ends_s]
        if gone:
            self.did.append("remove")
        for element in gone:
            if not self.stuck:
                del self.ends_s[element]

    def standing(self, set_name):
        return {
            e: int((ends - self.now_s) * 1000)
            for e, ends in self.ends_s.items()
            if e.set_name == set_name and ends > self.now_s
        }

    def connections(self, addresses):
        return [t for t in self.tracked if t.addresses & addresses]

    def end(self, connections):
        self.did.append("end")
        gone = list(connections)
        self.tracked = [t for t in self.tracked if t not in gone]
        return len(gone)

    def connect(self, device_element, other=b"\x0a\x0a\x02\x0a"):
        width = 16 if device_element.set_name.endswith("6") else 4
        ends = frozenset({device_element.key[:width], other})
        self.tracked.append(Tracked(2, ends, b"original", bytes([len(self.tracked)]) * 4))


class Gate:
    """An enforcer of the planned segment over a kernel that only remembers, with a clock."""

    def __init__(self, segment=None, kernel=None):
        self.kernel = kernel or FakeKernel()
        self.enforcer = Enforcer(self.kernel, monotonic=lambda: self.kernel.now_s)
        self.segment = segment or planned_segment()
        self.enforcer.enforce(self.segment)

    def pass_time(self, seconds):
        self.kernel.now_s += seconds

    def trusted(self, for_s=60.0):
        return Standing("trusted", self.kernel.now_s + for_s)

    def admit(self, *devices, for_s=60.0):
        self.enforcer.update({d: self.trusted(for_s) for d in devices})

    def stands(self, device):
        own = elements_of(self.segment, device)
        assert own
        now = self.kernel.now_s
        return [e in self.kernel.ends_s and self.kernel.ends_s[e] > now for e in own]

    def stands_whole(self, device):
        return all(self.stands(device))

    def stands_at_all(self, device):
        return any(self.stands(device))

    def finished(self):
        self.pass_time(0.02)
        return self.enforcer.finish()
