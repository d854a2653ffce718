"""A request for each verb that the policy knows, as an operator of a small plant would send it."""

import json

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.policy import default_files
from framegate.assessment.statement import PostureStatement
from framegate.federation.bundle import bundle_of
from framegate.identity.certificates import spki_of
from framegate.machines.model import ModelState
from framegate.signed.dsse import seal_envelope
from framegate.signed.model import bundle_digest, sign_model
from framegate.signed.pin import key_anchor
from framegate.signed.release import Provenance, sign_release
from framegate.signed.statement import Verdict
from framegate.wire import sha256
from framegate_operator.session_credentials import certificate_request
from framegate_proto.asked import content_of
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import passed
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.other_sites import forged_root
from support.playbooks import HOLD

FILES = [pb.PolicyFile(name=n, text=t) for n, t in default_files().items()]


OTHER = [
    *FILES,
    pb.PolicyFile(
        name="more.cedar",
        text='@id("more") forbid (principal, action == Action::"data.erase", resource);',
    ),
]


def authority() -> bytes:
    from framegate_simulators.machine.tpm import TpmMaker

    return TpmMaker.found().certificate.public_bytes(Encoding.DER)


MODEL_KEY = ec.generate_private_key(ec.SECP256R1())


MODEL_ANCHOR = key_anchor(MODEL_KEY.public_key())


def model_request(version: int) -> pb.RegisterModelRequest:
    recipe = json.dumps({"name": "walk", "version": version}).encode()
    files = {"recipe.json": sha256(recipe), "model.onnx": bytes(32)}
    digests = [pb.FileDigest(name=n, sha256=d) for n, d in files.items()]
    return pb.RegisterModelRequest(
        signature=sign_model("walk", files, MODEL_KEY),
        files=digests,
        anchor=MODEL_ANCHOR,
        recipe=recipe,
    )


def release_request() -> pb.ApproveReleaseRequest:
    bundle = sign_release(Provenance("1.0", "ab" * 20, {}, {"a.deb": bytes(32)}), MODEL_KEY)
    return pb.ApproveReleaseRequest(bundle=bundle, key=spki_of(MODEL_KEY.public_key()))


MODELS = {1: ModelState.APPROVED, 2: ModelState.APPROVED, 3: ModelState.REGISTERED}
"""Versions of a model that the registry knows; zone line-1 has had the first two."""


DIGESTS = {
    v: bundle_digest({f.name: f.sha256 for f in model_request(v).files}).hex() for v in MODELS
}


ROLE = content_of(pb.RoleRequest(role="security", zone="*", minutes=5))
"""What the request 00000001 of the plant is of."""


EXPORT = pb.ExportRequest(id="x", reason="r", destination="d")


def verb_request(message, *gateways: str, verb: str = "frame.export", **members) -> pb.VerbRequest:
    """The request for others' approval of `message` at `gateways`."""
    content = content_of(message)
    return pb.VerbRequest(
        verb=verb, gateways=gateways, content_type=content.kind, content=content.body, **members
    )


GOLDEN_PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


GOALS = """version = 1
[[goal]]
name = "drills"
fact = "drills-held"
least = 1
why = "what is not practised does not work"
"""
SAID = seal_envelope(PostureStatement.TYPE, b"{}", authority(), lambda _: b"nobody's")


REQUESTS = {
    "model.register Operator.RegisterModel": model_request(9),
    "model.approve Operator.ApproveModel": pb.ModelRequest(digest=DIGESTS[3]),
    "model.promote Operator.PromoteModel": pb.ModelRequest(digest=DIGESTS[2], zone="line-2"),
    "model.rollback Operator.RollBackModel": pb.ModelRequest(zone="line-1"),
    "model.show Operator.ListModels": pb.ListRequest(),
    "model.show Operator.ShowModel": pb.ModelRequest(digest=DIGESTS[1]),
    "part.show Operator.ListParts": pb.ListRequest(),
    "part.show Operator.ShowPart": pb.PartRequest(part_type="x"),
    "part.add Operator.AddPart": pb.AddPartRequest(
        part_type="board-7", goldens=[GOLDEN_PNG], source="a good lot"
    ),
    "verdict.review Operator.ReviewVerdict": pb.ReviewVerdictRequest(
        verdict=seal_envelope(Verdict.TYPE, passed(1).payload(), b"c", lambda _data: b"s"),
        right=True,
    ),
    "part.commission GatewayOperator.CommissionPart": pb.CommissionPartRequest(
        part_type="board-7", frames=10, timeout_s=1
    ),
    "part.learn GatewayOperator.LearnGolden": pb.LearnGoldenRequest(
        part_type="board-7", frames=8, timeout_s=1
    ),
    "whoami Operator.WhoAmI": pb.WhoAmIRequest(),
    "logout Operator.SignOut": pb.WhoAmIRequest(),
    "factor.prove Operator.ProveFactor": pb.ProveFactorRequest(),
    "factor.add Operator.AddKeyBegin": pb.WhoAmIRequest(),
    "factor.add Operator.AddKeyComplete": pb.AddKeyRequest(state=b"x", response="{}", label="k"),
    "access.request Operator.RequestRole": pb.RoleRequest(
        role="operator", zone="line-1", minutes=5, reason="r"
    ),
    "access.request Operator.RequestVerb": verb_request(EXPORT, "gateway.line-1.gw1"),
    "access.take Operator.TakeApproval": pb.TakeApprovalRequest(
        verb="frame.export", content_sha256=bytes(32), gateways=["gateway.line-1.gw1"]
    ),
    "fleet.show Operator.FleetStatus": pb.ListRequest(),
    "device.list Operator.List": pb.ListRequest(),
    "device.show Operator.Show": pb.DeviceRequest(device="cam1"),
    "events.list Operator.Events": pb.EventsRequest(),
    "events.list Operator.WatchEvents": pb.EventsRequest(),
    "mask.show Operator.ShowMasks": pb.DeviceRequest(device="cam1"),
    "result.show Operator.Result": pb.ResultRequest(result_id="x"),
    "profile.show Operator.ListProfiles": pb.ListRequest(),
    "profile.show Operator.ShowProfile": pb.ProfileRequest(name="p"),
    "rollout.show Operator.ShowRollouts": pb.RolloutRequest(),
    "trust.show Operator.ListTpmCas": pb.ListRequest(),
    "zone.show Operator.ListZones": pb.ListRequest(),
    "policy.show Operator.ShowPolicy": pb.PolicyRequest(),
    "policy.show Operator.PolicyHistory": pb.ListRequest(),
    "access.list Operator.ListAccess": pb.ListAccessRequest(),
    "access.list Operator.ShowAccess": pb.ShowAccessRequest(id="00000001"),
    "ca.show Operator.ShowCa": pb.ListRequest(),
    "auth.show Operator.CanI": pb.CanIRequest(verb="data.erase", zone="line-1"),
    "incident.list Operator.ListIncidents": pb.ListIncidentsRequest(),
    "incident.show Operator.ShowIncident": pb.IncidentRequest(),
    "incident.change Operator.NoteIncident": pb.NoteIncidentRequest(note="n"),
    "incident.change Operator.AssignIncident": pb.AssignIncidentRequest(assignee="witness"),
    "incident.close Operator.CloseIncident": pb.CloseIncidentRequest(verdict="test", note="n"),
    "incident.drill Operator.DeclareDrill": pb.DeclareDrillRequest(
        device="cam1", minutes=5, reason="r"
    ),
    "operator.list Operator.ListOperators": pb.ListRequest(),
    "audit.read Operator.ReadLog": pb.ReadLogRequest(limit=1),
    "audit.read Operator.ProveLog": pb.ProveLogRequest(index=0),
    "audit.read Operator.LogHead": pb.LogHeadRequest(),
    "audit.read Operator.ReadDecisions": pb.ReadDecisionsRequest(),
    "policy.simulate Operator.SimulatePolicy": pb.SimulateRequest(files=OTHER),
    "device.invite Operator.Invite": pb.InviteRequest(
        kind="camera", name="new", zone="line-1", profile="simulated-camera"
    ),
    "device.quarantine Operator.Change": pb.ChangeRequest(device="cam1", event="quarantine"),
    "device.attest-now Operator.Change": pb.ChangeRequest(device="cam1", event="attest-now"),
    "device.release Operator.Change": pb.ChangeRequest(device="suspect", event="release"),
    "device.approve Operator.Change": pb.ChangeRequest(device="pending", event="approve"),
    "device.retire Operator.Change": pb.ChangeRequest(device="cam1", event="retire"),
    "device.lift Operator.Change": pb.ChangeRequest(device="held", event="release"),
    "device.replace Operator.Invite": pb.InviteRequest(
        kind="camera", name="cam1", zone="line-1", profile="simulated-camera", replace=True
    ),
    "device.profile Operator.AssignProfile": pb.AssignProfileRequest(
        device="cam1", profile="another-camera"
    ),
    "maintenance.change Operator.ChangeMaintenance": pb.MaintenanceRequest(
        device="cam1", minutes=5, reason="r"
    ),
    "device.observe Operator.Observe": pb.DeviceRequest(device="cam1"),
    "evidence.replay Operator.Replay": pb.ReplayRequest(
        toml=profile_toml(Firmware("simulated-camera"), "simulated-camera").encode()
    ),
    "rollout.change Operator.StartRollout": pb.StartRolloutRequest(
        profile="none@1", canary=1, waves=[100], max_fail=1, soak_s=60
    ),
    "rollout.change Operator.ChangeRollout": pb.ChangeRolloutRequest(rollout="none", verb="pause"),
    "mask.set Operator.SetMasks": pb.SetMasksRequest(device="cam1", regions=b"[]"),
    "trust.add Operator.AddTpmCa": pb.TpmCa(certificate=authority()),
    "site.show Operator.ListSites": pb.ListRequest(),
    "site.add Operator.AddSite": pb.AddSiteRequest(
        name="added", endpoint="127.0.0.1:9", bundle=bundle_of([forged_root("added")])
    ),
    "site.withdraw Operator.WithdrawSite": pb.SiteRequest(name="walk"),
    "site.visit Operator.VisitSite": pb.VisitSiteRequest(
        fleet="walk", csr=certificate_request(MODEL_KEY)
    ),
    "siem.show Operator.ListSinks": pb.ListRequest(),
    "siem.test Operator.TestSink": pb.SinkRequest(name="walk"),
    "siem.add Operator.AddSink": pb.AddSinkRequest(name="added", kind="file"),
    "siem.remove Operator.RemoveSink": pb.SinkRequest(name="walk"),
    "zone.set Operator.SetZone": pb.SetZoneRequest(zone="line-1", feed_silence="grace"),
    "zone.freeze Operator.FreezeZone": pb.FreezeZoneRequest(zone="line-1", frozen=True, reason="r"),
    "release.approve Operator.ApproveRelease": release_request(),
    "policy.apply Operator.ApplyPolicy": pb.ApplyPolicyRequest(files=OTHER, base=1, note="n"),
    "access.approve Operator.DecideAccess": pb.DecideRequest(
        id="00000001", approve=True, content_sha256=ROLE.digest("access.request")
    ),
    "operator.add Operator.AddOperator": pb.AddOperatorRequest(name="newcomer", roles=["viewer"]),
    "operator.change Operator.ChangeOperator": pb.ChangeOperatorRequest(
        name="witness", verb="enable"
    ),
    "operator.disable Operator.DisableOperator": pb.DisableOperatorRequest(
        name="witness", reason="r"
    ),
    "quorum.set Operator.SetQuorum": pb.QuorumRequest(value=2),
    "ca.rotate Operator.RotateCa": pb.RotateCaRequest(label="device-ca"),
    "session.end Operator.EndSessions": pb.EndSessionsRequest(name="witness", reason="r"),
    "evidence.keep Operator.KeepEvidence": pb.DeviceRequest(device="cam1"),
    "playbook.show Operator.ListPlaybooks": pb.ListRequest(),
    "playbook.show Operator.PlaybookHistory": pb.PlaybookHistoryRequest(),
    "playbook.simulate Operator.SimulatePlaybook": pb.SimulatePlaybookRequest(text=HOLD),
    "playbook.enable Operator.EnablePlaybook": pb.EnablePlaybookRequest(text=HOLD),
    "goal.set Operator.SetGoals": pb.SetGoalsRequest(text=GOALS),
    "posture.state Operator.StatePosture": pb.StatePostureRequest(envelope=SAID),
    "playbook.disable Operator.DisablePlaybook": pb.DisablePlaybookRequest(name="none", reason="r"),
    "verdict.show GatewayOperator.ListVerdicts": pb.ListVerdictsRequest(),
    "verdict.show GatewayOperator.WatchVerdicts": pb.ListVerdictsRequest(),
    "verdict.picture GatewayOperator.Picture": pb.PictureRequest(verdict_id="x"),
    "verdict.picture GatewayOperator.ShowVerdict": pb.PictureRequest(verdict_id="x"),
    "gateway.status GatewayOperator.Status": pb.ListRequest(),
    "receipt.show GatewayOperator.Receipts": pb.ReceiptsRequest(limit=1),
    "receipt.show GatewayOperator.Lineage": pb.LineageRequest(id="x"),
    "data.show GatewayOperator.DataStatus": pb.ListRequest(),
    "frame.export GatewayOperator.ExportFrame": pb.ExportRequest(
        id="x", reason="r", destination="d"
    ),
    "dataset.export GatewayOperator.ExportDataset": pb.ExportRequest(reason="r", destination="d"),
    "data.erase GatewayOperator.EraseData": pb.EraseRequest(camera="all", reason="r"),
}


OF_THIS_FLEET = {"profile.import Operator.ImportProfile", "signer.revoke Operator.RevokeSigner"}
"""Their content must be signed by the fleet it is sent to."""


CONTROLLER = sorted(k for k in {*REQUESTS, *OF_THIS_FLEET} if " Operator." in k)


GATEWAY = sorted(k for k in REQUESTS if " GatewayOperator." in k)
