"""Every figure that the threat model says of a limit is the code's own: a sentence with another is
wrong, and so is one that was left behind.
"""

import pytest

from framegate.behaviour import rules as behaviour
from framegate.eventlog import parse as boot_log
from framegate.federation.visit import VISIT_LIFE
from framegate.ima import replay
from framegate.pilot import policy
from framegate.playbooks import parse
from framegate.profile import extends
from framegate.signed import heat, inspected, restoration
from framegate.wire import MAX_EVIDENCE_BYTES
from framegate_agent import signing
from framegate_console import door, tries
from framegate_controller import bounded_http, server, settings
from framegate_controller.bundleport import process as bundle_port
from framegate_controller.ca import template
from framegate_controller.clockwork import reporters
from framegate_controller.federation import fetch
from framegate_controller.fleet import evidence
from framegate_controller.joinport import limits
from framegate_controller.playbooks import engine
from framegate_controller.record import reports
from framegate_controller.rpc import signin
from framegate_controller.store.shared import ceremonies
from framegate_controller.store.shared import limits as sign_in_limits
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S, Timing
from framegate_gateway.admission import budget, link
from framegate_gateway.backend import process as backend
from framegate_gateway.inference import last_frames, tolerance
from framegate_gateway.ports import conversation, mqtt_frames, open_inference, options
from framegate_gateway.receipts import packing, retention
from framegate_host import cages, witness_file
from framegate_line import early, rules
from framegate_proto import caller_share, port_crowd, trust_feed
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
    "one a second of each reporter, eight of whoever brings them": (
        (reports.RATE.per_s, reports.HOST_RATE.per_s) == (1, 8)
    ),
    f"for a site {fetch.FETCH_S:.0f} s": 1,
    f"holds its {bundle_port.MAX_OPEN} connections": 1,
    f"{evidence.MOST_KEPT_BYTES // MIB} MiB kept of one machine": 1,
    f"the join port has connections ({limits.MAX_CONNECTIONS:,})": 1,
    f"of more than {options.CROWDED} at a port ({backend.CROWDED} at a model server's)": 1,
    f"and {options.MAX_CONNECTIONS - options.CROWDED} places"
    f" ({backend.MAX_CONNECTIONS - backend.CROWDED}), or half of those that callers leave": 1,
    "looks at who holds its places twenty times a second": port_crowd.CROWDED_S == 1 / 20,
    f"Of the connections there ({settings.FLEET_CONNECTIONS:,} unless told otherwise)": 1,
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
    "than a thousand restorations lead": restoration.MAX_RESTORATIONS == 1_000,
    "a gateway keeps five million roots": retention.MAX_ROOTS == 5_000_000,
    f"evicted after {early.EARLY_MS // 1000} s": 1,
    f"comes again within {rules.REUSE_MS // 1000} s": 1,
    f"gate closes after {trust_feed.SILENCE_S:.0f} s": 1,
    f"than it has connections ({witness.CONNECTIONS})": 1,
    "goes on for up to ten minutes after their session at home": VISIT_LIFE.seconds == 600,
    "left alone for the cooldown: up to seven days": parse.MAX_TIME_MS == 7 * 86_400_000,
    "is done up to ten minutes later, or not at all": engine.STEP_LIFE_MS == 600_000,
    "those of each machine (at most four `[[extend]]`)": extends.MAX_EXTENDS == 4,
    "(at most three attest intervals)": Timing(interval_ms=7).result_life_ms == 21,
    "heat under eight boxes at most": heat.MAX_GRIDS == 8,
    f"after {reporters.SILENT_MS // 1000} s that is `report-withheld`": 1,
    f"until all {mqtt_frames.MAX_LINKS} are taken, each for a minute": mqtt_frames.IDLE_S == 60,
    "holds a thread of four": signin.PROVIDER.threads == signin.PROVIDER.calls_address == 4,
    f"for {bounded_http.ALL_S:.0f} seconds a question": 1,
    f"a stain of {inspected.LOOSE} grey levels": 1,
    f"more than {round(100 * tolerance.LEFT_OUT)} % of the frames that a golden image": 1,
    f"A class threshold of {inspected.MAX_AT_LEAST} is allowed": 1,
    f"one key has {caller_share.MAX_CALLS} of them at most (N225)": 1,
    f"{settings.FLEET_CONNECTIONS // caller_share.MAX_CALLS} enrolled machines together": 1,
    "takes messages of 6 MiB": round(MAX_EVIDENCE_BYTES / MIB) == 6,
    "connects, at least every five minutes": server.CONNECTION_AGE_MS <= 300_000,
    "one every two seconds. No other EK": limits.EK_PREFIX[1] == 0.5,
    f"({ceremonies.MAX_CEREMONIES:,} and {ceremonies.MAX_FLOWS:,} are kept)": 1,
    f"From {witness_file.MOVE_BYTES // MIB} MiB on they move themselves aside": 1,
    f"`audit verify` reads {witness_file.MAX_FILES} of them": 1,
    f"data set counts as {behaviour.Limits().dataset_frames} frames": 1,
    "holds a key in a file for ninety days": template._DEPLOYED.days == 90,
    "for its `life`, 10 minutes by default": policy.LIFE == "10m",
    "three wrong ones from each of two addresses lock a name,": (
        tries.TRIES_AT_ONE == 3 and 3 < sign_in_limits.PAIR_TRIES <= 6
    ),
    "and ten from each of three everybody, out at the console for five minutes": (
        (tries.TRIES, sign_in_limits.ADDRESS_TRIES) == (10, 30)
        and sign_in_limits.PAIR_WINDOW_MS == sign_in_limits.ADDRESS_WINDOW_MS == 300_000
    ),
}


@pytest.mark.parametrize("said", SAID, ids=[f"limit-{n}" for n in range(len(SAID))])
def test_a_figure_is_the_codes_own(said):
    assert SAID[said], said
    assert said in TEXT, said
