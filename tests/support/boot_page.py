"""A machine's boot log, for a controller in which none ever attested."""

from framegate_console.calls import Calls
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml

FIRMWARE = Firmware("m")


def show_boot_log(monkeypatch) -> None:
    """Every machine booted something that its profile does not know."""
    whole = Calls.operator

    async def operator_bytes(self, name, request):
        return (await self.operator(name, request)).SerializeToString()

    async def operator(self, name, request, *, reason=""):
        if name == "Observe":
            raw = boot_log(measurements(FIRMWARE.tampered()))
            return pb.Observation(
                device=request.device, state="suspect", profile="m", boot_log=raw, at_ms=1
            )
        if name == "ShowProfile":
            row = pb.ProfileRow(name="m", revision=1)
            return pb.ProfileReply(row=row, toml=profile_toml(FIRMWARE, "m").encode())
        return await whole(self, name, request, reason=reason)

    monkeypatch.setattr(Calls, "operator", operator)
