"""Every figure that the threat model says of a limit is the code's own: a sentence with another is
wrong, and so is one that was left behind.
"""

import pytest

from framegate.eventlog import parse as boot_log
from framegate.ima import replay
from framegate.signed import inspected
from framegate_agent import signing
from framegate_console import door
from framegate_controller import bounded_http
from framegate_controller.bundleport import process as bundle_port
from framegate_controller.federation import fetch
from framegate_controller.fleet import evidence
from framegate_controller.joinport import limits
from framegate_controller.rpc import fleet_front
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S
from framegate_gateway.admission import budget, link
from framegate_gateway.inference import last_frames
from framegate_gateway.ports import conversation, mqtt_frames, open_inference
from framegate_gateway.receipts import packing, retention
from framegate_host import cages
from framegate_line import early, rules
from framegate_proto import trust_feed
from framegate_witness import service as witness
from support.paths import ROOT

TEXT = " ".join((ROOT / "docs/concepts/threat-model.md").read_text("utf-8").split())
MIB = 1024 * 1024
SAID = {
    f"{len(cages.INFERENCE.calls)} system calls": 1,
    f"2 MiB, {boot_log.MAX_EVENTS:,} events": boot_log.MAX_LOG_BYTES == 2 * MIB,
    f"found within {replay.MAX_AHEAD:,} entries": 1,
    f"less than {inspected.MIN_INSPECTED} % left": 1,
    f"certificate alive, {signing.MAX_HANDSHAKES} a minute": 1,
    f"A console that listens in the plant takes {door.AT_ONCE} connections": 1,
    f"connection, TLS and answer, {bounded_http.ALL_S:.0f} s": 1,
    f"for a site {fetch.FETCH_S:.0f} s": 1,
    f"holds its {bundle_port.MAX_OPEN} connections": 1,
    f"{evidence.MOST_KEPT_BYTES // MIB} MiB kept of one machine": 1,
    f"the join port has connections ({limits.MAX_CONNECTIONS:,})": 1,
    f"Of {fleet_front.MAX_CONNECTIONS:,} connections there": 1,
    f"{TICKET_TRIES} wrong ones a minute": TICKET_WINDOW_S == 60,
    f"{budget.MAX_IN_FLIGHT} frames and gaps in flight a camera": 1,
    f"answered {budget.REFUSALS_S:.0f} a second and camera": 1,
    f"ends after {conversation.OPENING_S:.0f} s, one with {conversation.MAX_UNOPENED} frames": 1,
    f"until all {mqtt_frames.MAX_LINKS} are taken": mqtt_frames.IDLE_S == 60,
    "with the access list one camera has eight": mqtt_frames.MAX_LINKS_CAMERA == 8,
    f"{open_inference.MAX_IN_FLIGHT} frames in flight a camera,"
    f" {open_inference.MAX_IN_FLIGHT_ALL} in all": 1,
    f"the camera's last {last_frames.WINDOW} frames": link.RECENT_FRAMES == last_frames.WINDOW,
    f"unpacks to {packing.MAX_PACKED // MIB} MiB at most": 1,
    "a gateway keeps five million roots": retention.MAX_ROOTS == 5_000_000,
    f"evicted after {early.EARLY_MS // 1000} s": 1,
    f"comes again within {rules.REUSE_MS // 1000} s": 1,
    f"gate closes after {trust_feed.SILENCE_S:.0f} s": 1,
    f"than it has connections ({witness.CONNECTIONS})": 1,
}


@pytest.mark.parametrize("said", SAID, ids=[f"limit-{n}" for n in range(len(SAID))])
def test_a_figure_is_the_codes_own(said):
    assert SAID[said], said
    assert said in TEXT, said
