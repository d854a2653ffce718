"""Rows of the operator's port: machines, their tickets and masks, and the makers of their TPMs."""

from __future__ import annotations

from typing import Any, Final

from framegate.profile.posture import posture_text
from framegate.registry.device import CameraMasks, TpmMaker
from framegate_controller.context import Fleet
from framegate_controller.rpc.fleet_views import to_event
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.device_profiles import AssignProfile
from framegate_controller.verbs.devices import (
    ChangeDevice,
    ChangeMaintenance,
    DeviceView,
    ListDevices,
    ShowDevice,
    ShownDevice,
)
from framegate_controller.verbs.enrolment import GivenTicket, InviteDevice
from framegate_controller.verbs.masks import SetMasks, ShowMasks
from framegate_controller.verbs.trust import AddTpmMaker, ListTpmMakers
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb


def _ticket(given: GivenTicket, fleet: Fleet) -> pb.InviteReply:
    return pb.InviteReply(
        device=given.device,
        code=given.code,
        join_address=fleet.addresses.join,
        fleet_address=fleet.addresses.fleet,
        server_name=fleet.addresses.server_name,
        root=fleet.keys.root.der,
        expires_ms=given.expires_ms,
        now_ms=given.now_ms,
    )


def _summary(view: DeviceView, _fleet: Fleet) -> pb.DeviceSummary:
    device, serviced = view.device, view.device.serviced(view.now_ms)
    return pb.DeviceSummary(
        device=device.id,
        kind=device.kind,
        zone=device.zone,
        name=device.name,
        state=device.state,
        since_ms=device.since_ms,
        profile=device.profile,
        last_result_ms=device.standing.result_ms,
        result_remaining_ms=max(0, device.standing.expires_ms - view.now_ms),
        result_id=device.standing.result_id,
        failures=len(device.shown.failures),
        gateway_addresses=[g.address for g in view.gateways],
        operator_addresses=[g.operator_address for g in view.gateways],
        maintenance_until_ms=device.maintenance_until_ms if serviced else 0,
        maintenance=device.maintenance if serviced else "",
    )


def _summaries(views: list[DeviceView], fleet: Fleet) -> pb.ListReply:
    return pb.ListReply(devices=[_summary(v, fleet) for v in views])


def _detail(shown_device: ShownDevice, fleet: Fleet) -> pb.DeviceDetail:
    device = shown_device.view.device
    tpm, shown, clock, ima = device.tpm, device.shown, device.baseline.clock, device.baseline.ima
    return pb.DeviceDetail(
        summary=_summary(shown_device.view, fleet),
        failures=to_failures(shown.failures),
        failures_ms=shown.failures_ms,
        tpm=_vendor(tpm.manufacturer) if tpm is not None else "",
        tpm_firmware=shown.firmware_version,
        ek_sha256=tpm.ek_sha256.hex() if tpm is not None else "",
        ek_endorsement=tpm.endorsement if tpm is not None else "",
        vector=shown.vector,
        posture=posture_text(shown.posture.encode(errors="replace")),
        reset_count=clock.reset_count if clock is not None else 0,
        restart_count=clock.restart_count if clock is not None else 0,
        certificate_expires_ms=device.certificate_expires_ms,
        events=[to_event(e) for e in shown_device.entries],
        pcrs=shown.pcrs,
        findings=to_failures(shown.findings),
        ear=shown_device.ear.encode(),
        ima_entries=ima.entries if ima is not None else 0,
    )


def _vendor(manufacturer: int) -> str:
    """TPM_PT_MANUFACTURER: four ASCII characters in a number, filled up with zeros or blanks."""
    return manufacturer.to_bytes(4, "big").decode("ascii", "replace").strip("\0 ")


def _masks(masks: CameraMasks, _fleet: Fleet) -> pb.MasksReply:
    return pb.MasksReply(device=masks.device, version=masks.version, envelope=masks.envelope)


def _maker(maker: TpmMaker, _fleet: Fleet) -> pb.TpmCa:
    return pb.TpmCa(
        certificate=maker.certificate,
        subject=maker.subject,
        sha256=maker.sha256.hex(),
        added_ms=maker.added_ms,
        expires_ms=maker.expires_ms,
    )


def _makers(makers: list[TpmMaker], fleet: Fleet) -> pb.TpmCas:
    return pb.TpmCas(authorities=[_maker(m, fleet) for m in makers])


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("Invite", InviteDevice.parse, _ticket),
    Rpc("List", ListDevices.parse, _summaries),
    Rpc("Show", ShowDevice.parse, _detail),
    Rpc("Change", ChangeDevice.parse, _summary),
    Rpc("AssignProfile", AssignProfile.parse, _summary),
    Rpc("ChangeMaintenance", ChangeMaintenance.parse, _summary),
    Rpc("SetMasks", SetMasks.parse, _masks),
    Rpc("ShowMasks", ShowMasks.parse, _masks),
    Rpc("AddTpmCa", AddTpmMaker.parse, _maker),
    Rpc("ListTpmCas", ListTpmMakers.parse, _makers),
)
