"""A fleet whose every text was written by somebody who wants to be more than text."""

import asyncio
import json

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from framegate.errors import Reason, Refused
from framegate.eventlog import EventType
from framegate_console.calls import Endpoint
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.machine.boot import (
    Firmware,
    Measurement,
    boot_log,
    measurements,
    profile_toml,
)

MARKUP = """"'><img src=x onerror=alert(1)><script>alert(2)</script></textarea>{{7*7}}"""
STEERS = "\u202egnp.exe\u2066\x1b[2J\x07\u200b"
PATHS = "/../../signout?x=1#y"
HOSTILE = MARKUP + PATHS + STEERS
DEVICE, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"
NUMBER = 5


def filled(message, depth: int = 3):
    """`message` with every text hostile, every list of one, every number `NUMBER`."""
    for described in message.DESCRIPTOR.fields:
        name, kind = described.name, described.type
        if described.message_type and described.message_type.GetOptions().map_entry:
            value = described.message_type.fields_by_name["value"]
            is_text = value.type == FieldDescriptor.TYPE_STRING
            getattr(message, name)[HOSTILE] = HOSTILE if is_text else NUMBER
        elif kind == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                inner = filled(GetMessageClass(described.message_type)(), depth - 1)
                if described.is_repeated:
                    getattr(message, name).append(inner)
                else:
                    getattr(message, name).CopyFrom(inner)
        else:
            value = _value(described)
            if described.is_repeated:
                getattr(message, name).append(value)
            else:
                setattr(message, name, value)
    return message


def _value(described):
    if described.name == "device":
        return DEVICE
    if described.name == "envelope":
        return b""
    kinds = {
        FieldDescriptor.TYPE_STRING: HOSTILE,
        FieldDescriptor.TYPE_BYTES: HOSTILE.encode(),
        FieldDescriptor.TYPE_BOOL: True,
        FieldDescriptor.TYPE_DOUBLE: 2.5,
    }
    return kinds.get(described.type, NUMBER)


class HostileCalls:
    """Answers as `Calls` does, and keeps what would have changed something."""

    def __init__(self):
        self.asked, self.refusals = [], {}

    async def operator_bytes(self, name, request):
        return (await self.operator(name, request)).SerializeToString()

    async def operator(self, name, request, *, reason=""):
        if not name.startswith(READS):
            self.asked.append(name)
        if name in self.refusals:
            raise self.refusals[name]
        method = pb.DESCRIPTOR.services_by_name["Operator"].methods_by_name[name]
        reply = filled(GetMessageClass(method.output_type)())
        if name == "List":
            gateway = filled(pb.DeviceSummary())
            gateway.device, gateway.kind = GATEWAY, "gateway"
            reply.devices.append(gateway)
            reply.devices[0].kind = "camera"
        elif name == "Show":
            reply.summary.kind = "camera"
            reply.posture = json.dumps({HOSTILE: [HOSTILE]})
        elif name == "Observe":
            reply.boot_log = boot_log([*measurements(BOOTED), _said(HOSTILE)])
        elif name == "ShowProfile":
            reply.toml = profile_toml(BOOTED, "m").encode()
        elif name == "ShowModel":
            reply.card = json.dumps({"trained_on": {"source": HOSTILE, "signer": HOSTILE}}).encode()
            reply.recipe = json.dumps({"classes": [HOSTILE]}).encode()
            del reply.pins[:]
        elif name == "ShowPart":
            raise Refused.of(Reason.NOT_FOUND, "a part", HOSTILE)
        elif name == "ListParts":
            del reply.parts[:]
        elif name == "ShowIncident":
            del reply.entries[:]
            reply.entries.append(json.dumps(ENTRY).encode())
        elif name == "ListAccess":
            reply.rows[0].state = "pending"
        elif name == "ShowAccess":
            reply.row.content_sha256 = b""
        return reply

    async def operator_rows(self, name, request, most):
        return [pb.LogRow(index=NUMBER, entry=json.dumps(ENTRY).encode())]

    async def operator_watched(self, name, request):
        yield await self.operator("Events", request)
        await asyncio.Event().wait()

    async def gateways(self):
        return [Endpoint(HOSTILE, HOSTILE)]

    async def gateway(self, at, name, request, **_):
        service = pb.DESCRIPTOR.services_by_name["GatewayOperator"]
        reply = filled(GetMessageClass(service.methods_by_name[name].output_type)())
        if name == "ListVerdicts":
            del reply.verdicts[:]
        return reply

    async def watched(self, at, request):
        for _ in ():
            yield pb.Verdicts()

    def close(self):
        pass


BOOTED = Firmware("m")


def _said(text):
    """An event of firmware that calls itself `text`."""
    return Measurement("hostile", 4, EventType.EFI_ACTION, text.encode(), text.encode())


READS = ("Show", "Observe", "List", "Fleet", "Events", "Who", "Playbook", "Prove", "Policy", "CanI")
ENTRY = {
    "index": NUMBER,
    "at_ms": NUMBER,
    "kind": HOSTILE,
    "event": HOSTILE,
    "actor": HOSTILE,
    "device": HOSTILE,
    "detail": HOSTILE,
    "reason": HOSTILE,
    "to": HOSTILE,
    "members": {},
}
PAGES = (
    "/",
    "/cameras",
    "/gateways",
    f"/camera/{DEVICE}",
    f"/camera/{DEVICE}/masks",
    f"/camera/{DEVICE}/boot",
    "/verdicts",
    "/approvals",
    "/approval/00000001",
    "/rollouts",
    "/rollout/5",
    "/incidents",
    "/incident/5",
    "/playbooks",
    "/record",
    "/models",
    "/model/5",
    "/part/drawn-1",
    "/me",
)
