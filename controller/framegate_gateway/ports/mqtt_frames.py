"""Frames over MQTT: the same conversation as over gRPC, on topics
framegate/v1/frames/<camera>/<gateway>/<link> and …/answers/….

The broker sees sealed frames, public keys and signatures. Who a conversation belongs to is first a
claim, the certificate in its `hello`; nothing is admitted, answered with a verdict or kept before
the opening, which that certificate's key in the camera's TPM signs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from google.protobuf.message import DecodeError

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import load_certificate
from framegate_gateway.admission.budget import MAX_IN_FLIGHT
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.ports.conversation import Conversations
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.verdicts.publish import Publisher
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
MAX_LINKS: Final = 256
"""Conversations at once; each may hold some frames."""
MAX_LINKS_CAMERA: Final = 8
"""Conversations of one camera: its sources, and old ones that have not ended yet."""
IDLE_S: Final = 60.0
"""A conversation that says nothing for so long is over; a camera renews or sends within half a
grant.
"""


class MqttFrames:
    """Sorts the broker's messages into conversations."""

    def __init__(
        self, keys: GatewayKeys, view: TrustView, conversations: Conversations, publisher: Publisher
    ) -> None:
        self._keys, self._view, self._conversations, self._publisher = (
            keys,
            view,
            conversations,
            publisher,
        )
        self._links: dict[str, asyncio.Queue[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        publisher.receive(self._from_client)

    def _from_client(self, topic: str, payload: bytes) -> None:
        self._loop.call_soon_threadsafe(self._arrived, topic, payload)

    def _arrived(self, topic: str, payload: bytes) -> None:
        _, _, _, camera, gateway, link = topic.split("/", 5)
        name = f"{camera}/{link}"
        waiting = self._links.get(name)
        if waiting is None:
            mine = sum(n.startswith(f"{camera}/") for n in self._links)
            if not payload or len(self._links) >= MAX_LINKS or mine >= MAX_LINKS_CAMERA:
                return
            waiting = self._links[name] = asyncio.Queue(2 * MAX_IN_FLIGHT)
            task = self._loop.create_task(
                self._converse(
                    name, camera, f"framegate/v1/answers/{gateway}/{camera}/{link}", waiting
                )
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            waiting.put_nowait(payload)
        except asyncio.QueueFull:
            log.warning(
                "%s: more messages than a camera may have on the way; its conversation ends",
                ascii(camera),
            )
            self._links.pop(name, None)
            while not waiting.empty():
                waiting.get_nowait()
            waiting.put_nowait(b"")

    async def _converse(
        self, name: str, camera: str, answers: str, waiting: asyncio.Queue[bytes]
    ) -> None:
        async def read() -> pb.CameraMessage | None:
            try:
                payload = await asyncio.wait_for(waiting.get(), IDLE_S)
            except TimeoutError:
                return None
            if not payload:
                return None
            try:
                return pb.CameraMessage.FromString(payload)
            except DecodeError as error:
                raise Malformed.of(
                    Reason.MALFORMED, "a camera's message", type(error).__name__
                ) from error

        async def write(message: pb.GatewayMessage) -> None:
            self._publisher.send(answers, message.SerializeToString())

        try:
            first = await read()
            await self._conversations.converse(lambda: self._link(first, camera), read, write)
        except Malformed as error:
            log.info("broker: %s", ascii(str(error)))
        finally:
            self._links.pop(name, None)

    def _link(self, first: pb.CameraMessage | None, camera: str) -> CameraLink:
        if first is None or first.WhichOneof("kind") != "hello":
            raise Refused.of(
                Reason.UNAUTHENTICATED, "a camera's certificate first", "another message"
            )
        link = CameraLink(load_certificate(first.hello), self._keys, self._view)
        if link.device != camera:
            raise Refused.of(
                Reason.UNAUTHENTICATED,
                f"the certificate of {camera}, whose topic this is",
                link.device,
            )
        return link
