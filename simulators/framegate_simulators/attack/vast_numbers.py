"""N242: numbers that a record, a statement or a message may say and no row of a database holds, to
a gateway and a controller that run.
"""

from __future__ import annotations

from typing import Final
from unittest.mock import patch

from framegate.errors import Reason
from framegate_agent.camera.session import FrameSession
from framegate_operator.connection import operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.conversation import head
from framegate_simulators.attack.floor import Floor, picture
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of

VAST: Final = 2**63
"""One more than SQLite's and PostgreSQL's largest whole number."""


def _sealed(floor: Floor, session: FrameSession, *, counter: int, trigger: int) -> pb.SealedFrame:
    """What a camera of the fleet seals whose agent keeps to no bound."""
    image = picture(next(floor.numbers))
    with patch("framegate.sframe.MAX_COUNTER", 2**64):
        session._sealer.counter = counter
        return session.seal(head(trigger, image), image)


@attempt(
    "N242",
    "a camera whose counter, and whose trigger, no database holds; operators who ask for such",
    control="frame",
)
def n242(t: Target) -> Seen:
    floor = t.once(Floor)
    before = dict(floor.status().unanswered)
    with floor.conversation() as talk:
        session = talk.open()
        for counter, trigger in ((VAST, next(floor.numbers)), (0, VAST), (1, next(floor.numbers))):
            talk.send(frame=_sealed(floor, session, counter=counter, trigger=trigger))
        sound = talk.said()
    other = floor.inspected(floor.other)  # every camera's verdicts wait for the same thread
    after = dict(floor.status().unanswered)
    counted = sorted(name for name, n in after.items() if n > before.get(name, 0))
    t.sign_in_again()
    with operator_stub(t.context) as stub:
        incident = reason_of(lambda: stub.ShowIncident(pb.IncidentRequest(incident=VAST)))
        policy = reason_of(lambda: stub.ShowPolicy(pb.PolicyRequest(version=VAST)))
    asked = [incident.reason, policy.reason]
    return Seen(
        counted == ["frame-label", "frame-session"]
        and (sound, other) == ("PASS", "PASS")
        and asked == [Reason.USAGE, Reason.USAGE],
        f"unanswered: {', '.join(counted)}; then {sound}, another camera {other};"
        f" operators: {', '.join(asked)}",
    )
