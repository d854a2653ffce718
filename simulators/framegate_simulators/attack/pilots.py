"""N168: somebody in the fleet puts a zone where nothing is diverted."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.pilot.policy import Stage
from framegate.pilot.word import STAGES_TOPIC, StageWord
from framegate_simulators.attack.floor import DEADLINE_MS, GATEWAY, Floor
from framegate_simulators.attack.line import BrokerClient
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.plant.segment_plan import ZONE

HEARD_S: Final = 2.0
"""A message on loopback, and a word that an adapter would have taken by then."""


@attempt(
    "N168",
    "a camera's certificate says at the broker that its zone diverts nothing, and a part comes that"
    " nobody photographed",
    control="part",
)
def n168(t: Target) -> Seen:
    floor = t.once(Floor)
    camera, now = floor.camera, time.time_ns() // 1_000_000
    word = StageWord(
        zone=ZONE,
        stage=Stage.OBSERVE.value,
        version=1_000,
        policy="access-policy 1000",
        issued_at_ms=now,
        valid_until_ms=now + 600_000,
    )
    client = BrokerClient(t, camera.device)
    der = camera.certificate.public_bytes(Encoding.DER)
    forged = [w.seal(der, camera.sign_with_tls_key) for w in (word,)]
    forged.append(replace(word, zone="*").seal(der, camera.sign_with_tls_key))
    for topic in (STAGES_TOPIC.format(gateway=GATEWAY), STAGES_TOPIC.format(gateway=camera.device)):
        for envelope in forged:
            client.client.publish(topic, envelope, qos=1)
    time.sleep(HEARD_S)  # the attack itself: it has time to be taken
    part = floor.part()
    floor.plc.trigger(part)
    decision = floor.decided(part, 2 * DEADLINE_MS / 1000)
    opens = floor.plc.permits(part)
    client.close()
    return Seen(
        decision == "UNINSPECTED" and not opens,
        f"the part without a picture: {decision}, {'LET THROUGH' if opens else 'diverted'}",
    )
