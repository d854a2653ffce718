"""Frames over MQTT: the same conversation as over gRPC, on topics
framegate/v1/frames/<camera>/<gateway>/<link> and …/answers/….

The broker sees sealed frames, public keys and signatures. Who a conversation belongs to is first a
claim, the certificate in its `hello`; nothing is admitted, answered with a verdict or kept before
the opening, which that certificate's key in the camera's TPM signs.
"""

from __future__ import annotations

import asyncio
import logging
import re
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
from framegate_host.broker_client import HandOver
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
FRAMES: Final = "framegate/v1/frames/+/{device}/+"
"""Sealed frames that are addressed to this gateway."""
MAX_LINKS: Final = 256
"""Conversations at once; each may hold some frames."""
MAX_LINKS_CAMERA: Final = 8
"""Conversations of one camera: its sources, and old ones that have not ended yet."""
MAX_WAITING_BYTES: Final = 256 * 1024 * 1024
"""Of all conversations that wait to be read: eight of the largest frames, and thousands of usual
ones.
"""
MAX_TOPIC: Final = 200
"""Characters of a topic that are logged."""
HANDED_OVER: Final = 4
"""Messages between the broker's thread and the event loop; each may be of the largest frame."""
PATIENCE_S: Final = 5.0
"""Half of a keep-alive: the broker hangs up after 1.5."""
IDLE_S: Final = 60.0
"""A conversation that says nothing for so long is over; a camera renews or sends within half a
grant.
"""
_TOPIC: Final = re.compile(
    r"framegate/v1/frames/(?P<camera>[a-z0-9.-]{1,200})/(?P<gateway>[a-z0-9.-]{1,200})/"
    r"(?P<link>[0-9a-f]{16})"
)


class _Waiting:
    """Messages of one conversation that wait to be read."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue(2 * MAX_IN_FLIGHT)
        self.bytes = 0

    def put(self, payload: bytes) -> bool:
        """Whether there was room for it."""
        if self.messages.full():
            return False
        self.messages.put_nowait(payload)
        self.bytes += len(payload)
        return True

    async def get(self) -> bytes:
        """The next one."""
        payload = await self.messages.get()
        self.bytes -= len(payload)
        return payload

    def end(self) -> None:
        """Forget what waits: an empty message, which ends the conversation, is all that is left."""
        while not self.messages.empty():
            self.messages.get_nowait()
        self.bytes = 0
        self.messages.put_nowait(b"")


class MqttFrames:
    """Sorts the broker's messages into conversations.

    Whatever the broker sends, of what topics and how much: conversations, messages, and the bytes
    that wait in them have their limits, and a broker that comes too fast has to wait.
    """

    def __init__(
        self, keys: GatewayKeys, view: TrustView, conversations: Conversations, publisher: Publisher
    ) -> None:
        self._keys, self._view, self._conversations, self._publisher = (
            keys,
            view,
            conversations,
            publisher,
        )
        self._links: dict[str, _Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        hand_over = HandOver(self._loop, HANDED_OVER, PATIENCE_S)
        publisher.hear(FRAMES, lambda topic, payload: self._came(hand_over, topic, payload))

    def _came(self, hand_over: HandOver, topic: str, payload: bytes) -> None:
        """In the client's thread."""
        if not hand_over(self._arrived, topic, payload):
            log.warning("broker: a message that nobody had time for in %g s is lost", PATIENCE_S)

    def _arrived(self, topic: str, payload: bytes) -> None:
        named, credentials = _TOPIC.fullmatch(topic), self._keys.credentials
        if named is None or credentials is None or named["gateway"] != credentials.device:
            log.warning("broker: a message on %s is not read", ascii(topic[:MAX_TOPIC]))
            return
        camera, link = named["camera"], named["link"]
        name = f"{camera}/{link}"
        waiting = self._links.get(name)
        if waiting is None:
            if not payload or not self._room(camera):
                return
            waiting = self._links[name] = _Waiting()
            answers = f"framegate/v1/answers/{credentials.device}/{camera}/{link}"
            task = self._loop.create_task(self._converse(name, camera, answers, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        most = MAX_WAITING_BYTES - sum(w.bytes for w in self._links.values())
        if len(payload) > most or not waiting.put(payload):
            log.warning(
                "%s: more than a camera may have on the way; its conversation ends", ascii(camera)
            )
            self._links.pop(name, None)
            waiting.end()

    def _room(self, camera: str) -> bool:
        """Whether this camera may begin another conversation."""
        mine = sum(n.startswith(f"{camera}/") for n in self._links)
        if len(self._links) < MAX_LINKS and mine < MAX_LINKS_CAMERA:
            return True
        log.info("%s: too many conversations, %d of its own", ascii(camera), mine)
        return False

    async def _converse(self, name: str, camera: str, answers: str, waiting: _Waiting) -> None:
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
            if self._links.get(name) is waiting:  # not a later one under the same name
                del self._links[name]

    def _link(self, first: pb.CameraMessage | None, camera: str) -> CameraLink:
        if first is None or first.WhichOneof("kind") != "hello":
            raise Refused.of(
                Reason.UNAUTHENTICATED, "a camera's certificate first", "another message"
            )
        link = CameraLink(
            load_certificate(first.hello), self._keys, self._view, self._conversations.kinds
        )
        if link.device != camera:
            raise Refused.of(
                Reason.UNAUTHENTICATED,
                f"the certificate of {camera}, whose topic this is",
                link.device,
            )
        return link
