"""N148: an old copy of the controller's folder is put back, silently or by a restoration."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.access.policy_statement import PolicyStatement
from framegate.errors import FramegateError, Reason, Refused
from framegate.machines.lifecycle import State
from framegate.machines.model import ModelState
from framegate.record.following import (
    LogPosition,
    follow_log_head,
    follow_witnessed,
)
from framegate.record.verify import AuditRefused, verify_log
from framegate.record.witness import head_line, parse_head
from framegate.registry.model import Model
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskStatement
from framegate.signed.part import PartStatement
from framegate.signed.pin import ModelPin
from framegate.signed.receipt import Checkpoint
from framegate.signed.restoration import REVISION_STEP, VERSION_STEP, Restoration
from framegate_agent.controller_watch import ControllerWatch
from framegate_controller.ca.open import found_fleet
from framegate_controller.fleet.masks import set_masks
from framegate_controller.inspection.models import pin_model
from framegate_controller.inspection.parts import PartChange, set_part
from framegate_controller.record.witness import require_witnessed
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.log_view import LogView
from framegate_host.witness_file import read_heads, write_head
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update, camera_of
from support.refusals import refused
from support.registries import Registry, export


@pytest.fixture
def registry(tmp_path) -> Registry:
    registry = Registry(tmp_path / "controller")
    registry.grow()
    return registry


def on_wire(position: LogPosition | None) -> pb.LogPosition | None:
    if position is None:
        return None
    return pb.LogPosition(
        checkpoint=position.checkpoint,
        growth=position.growth,
        restorations=position.restorations,
    )


class Gateway:
    """A gateway's view of a controller's feed, over restarts of either."""

    def __init__(self, folder, registry: Registry, *, grace: bool = False) -> None:
        self.folder, self.registry = folder, registry
        self.access = access_update(registry.keys, grace=grace)
        self.again: list[int] = []
        self.start()

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        root = lambda: self.registry.keys.root.certificate  # noqa: E731 - as the process has it
        log = LogView(self.folder / "record-head", root, self.again.append)
        self.view = TrustView(
            self.folder / "feed-revision", AccessView(None, root), log=log, monotonic=lambda: 0.0
        )

    def hears(self, registry: Registry, *, without_log: bool = False) -> None:
        """A new connection to the controller that serves this folder."""
        self.view.disconnected()
        seen = self.view.seen_log
        head = None
        if seen.size:
            head = Checkpoint("plant", seen.size, "", 0, seen.restorations)
        position = None if without_log else on_wire(registry.shows(head))
        revision = registry.change(lambda tx: tx.revision())
        self.view.apply(
            pb.TrustUpdate(revision=revision, snapshot=True, access=self.access, log=position)
        )


def camera_hears(watch: ControllerWatch, registry: Registry) -> None:
    seen = watch.request(1.0).seen
    head = Checkpoint("plant", seen.size, "", 0, seen.restorations) if seen.size else None
    event = pb.WatchEvent(kind=pb.WatchEvent.STATE, log=on_wire(registry.shows(head)))
    watch.first_event(event, registry.keys.root.certificate)


@pytest.mark.parametrize("grown", [0, 1, 3, 40], ids=lambda n: f"grown by {n} since")
def test_n148_a_silent_copy_closes_the_gate_however_far_it_went_on(registry, tmp_path, grown):
    copy = registry.copy(tmp_path / "copy")
    registry.grow(4)
    gateway = Gateway(tmp_path / "gateway", registry, grace=True)
    gateway.hears(registry)
    assert gateway.view.open
    registry.put_back(copy)
    if grown:
        registry.grow(grown, why="another life")
    with pytest.raises(Refused) as caught:
        gateway.hears(registry)
    assert caught.value.reason == Reason.CONTROLLER_BEHIND
    assert "framegate-controller restore" in caught.value.failures[0].hint
    assert not gateway.view.open, "not even grace keeps it open"
    assert refused(lambda: gateway.view.require("camera.line-1.cam1")) == Reason.CONTROLLER_BEHIND
    gateway.start()  # another process of the gateway finds it out as well
    assert refused(lambda: gateway.hears(registry)) == Reason.CONTROLLER_BEHIND


def test_n148_a_controller_that_shows_no_record_to_who_saw_one(registry, tmp_path):
    gateway = Gateway(tmp_path / "gateway", registry)
    gateway.hears(registry)
    assert refused(lambda: gateway.hears(registry, without_log=True)) == Reason.CONTROLLER_BEHIND
    watch = ControllerWatch(tmp_path)
    camera_hears(watch, registry)
    silent = pb.WatchEvent(kind=pb.WatchEvent.STATE)
    root = registry.keys.root.certificate
    assert refused(lambda: watch.first_event(silent, root)) == Reason.CONTROLLER_BEHIND


@pytest.mark.parametrize("grown", [0, 1, 40])
def test_n148_a_camera_takes_no_grants_from_a_silent_copy(registry, tmp_path, grown):
    copy = registry.copy(tmp_path / "copy")
    registry.grow(4)
    watch = ControllerWatch(tmp_path)
    camera_hears(watch, registry)
    watch.require_ahead()
    registry.put_back(copy)
    if grown:
        registry.grow(grown, why="another life")
    with pytest.raises(Refused) as caught:
        camera_hears(watch, registry)
    assert "framegate-controller restore" in caught.value.failures[0].hint
    assert refused(watch.require_ahead) == Reason.CONTROLLER_BEHIND
    again = ControllerWatch(tmp_path)  # a restart of the agent forgets nothing
    assert refused(lambda: camera_hears(again, registry)) == Reason.CONTROLLER_BEHIND
    registry.made_good()
    camera_hears(watch, registry)
    watch.require_ahead()


def test_n148_the_controller_itself_does_not_start_on_a_copy_that_its_witness_knows(
    registry, tmp_path
):
    copy, usb = registry.copy(tmp_path / "copy"), tmp_path / "usb"
    write_head(usb, registry.grow(4))
    registry.put_back(copy)
    store = registry.store()
    with pytest.raises(Refused) as caught:
        require_witnessed(store, registry.keys, (usb,))
    assert caught.value.reason == Reason.CONTROLLER_BEHIND
    assert "framegate-controller restore" in caught.value.failures[0].hint
    assert str(usb) in caught.value.failures[0].expected
    store.close()
    registry.made_good(usb)
    store = registry.store()
    require_witnessed(store, registry.keys, (usb,))
    store.close()


@pytest.mark.parametrize("with_witness", [True, False], ids=["with witness", "without"])
def test_n148_after_a_restoration_everybody_follows_and_is_told_what_is_lost(
    registry, tmp_path, with_witness
):
    archive = registry.backup(tmp_path / "backup.tar")
    kept = registry.change(lambda tx: tx.log.size())
    gateway, watch = Gateway(tmp_path / "gateway", registry), ControllerWatch(tmp_path)
    seen = registry.grow(6)
    gateway.hears(registry)
    camera_hears(watch, registry)
    revision = gateway.view.revision
    usb = tmp_path / "usb"
    write_head(usb, seen)
    new = registry.restored(archive, tmp_path / "new", *([usb] if with_witness else []))
    gateway.hears(new)
    camera_hears(watch, new)
    assert gateway.view.open and gateway.view.revision >= revision + REVISION_STEP - 10
    assert gateway.again == [kept], "what it has of the entries that were lost is recorded again"
    if not with_witness:
        position = new.shows(parse_head(seen))
        with pytest.raises(Refused, match="as were witnessed"):
            follow_witnessed(seen, position, new.anchor)
        new.made_good(usb)  # owning up to it afterwards is a restoration of its own
    followed = follow_witnessed(seen, new.shows(parse_head(seen)), new.anchor)
    assert followed.lost is not None
    assert (followed.lost.first, followed.lost.last) == (kept, kept + 5)
    # and nobody takes the old one any more
    assert refused(lambda: gateway.hears(registry)) == Reason.CONTROLLER_BEHIND
    assert refused(lambda: camera_hears(watch, registry)) == Reason.CONTROLLER_BEHIND


def test_n148_a_restored_record_verifies_and_names_what_it_lost(registry, tmp_path):
    archive = registry.backup(tmp_path / "backup.tar")
    kept = registry.change(lambda tx: tx.log.size())
    usb = tmp_path / "usb"
    for _ in range(3):
        write_head(usb, registry.grow(2))
    new = registry.restored(archive, tmp_path / "new", usb)
    write_head(usb, new.grow(3))
    log = verify_log(export(new), new.anchor, [head_line(h) for h in read_heads(usb)])
    assert log.restorations == 1 and [(e.first, e.last) for e in log.lost] == [(kept, kept + 5)]


@pytest.mark.parametrize("how", ["other", "denied", "older", "miscounted", "late"])
def test_n148_a_record_that_hides_or_denies_a_restoration_does_not_verify(registry, tmp_path, how):
    archive = registry.backup(tmp_path / "backup.tar")
    usb = tmp_path / "usb"
    lost = registry.grow(6)
    write_head(usb, lost)
    new = registry.restored(archive, tmp_path / "new", *([] if how == "denied" else [usb]))
    lines, witness = export(new), [head_line(lost)]
    signer = new.keys.signing["log"]
    if how == "older":  # a head that knows of more restorations than the record tells of
        future = replace(parse_head(lost), restorations=2)
        witness.append(head_line(future.seal(signer.der, signer.sign)))
    elif how == "miscounted":  # signed over the restoration's own entry without a word of it
        honest = parse_head(new.grow(0))
        silent = replace(honest, restorations=0, at_ms=honest.at_ms + 1_000)
        lines[-1] = head_line(silent.seal(signer.der, signer.sign))
    elif how == "late":  # the record before went on being signed after its restoration
        still = replace(parse_head(lost), at_ms=parse_head(lost).at_ms + 3_600_000)
        witness.append(head_line(still.seal(signer.der, signer.sign)))
    elif how == "other":  # a lost head of the same size as a kept one, with another root
        size = new.last_size if hasattr(new, "last_size") else 2
        forged = replace(parse_head(lost), size=size, root="ab" * 32)
        witness.append(head_line(forged.seal(signer.der, signer.sign)))
    with pytest.raises(AuditRefused) as caught:
        verify_log(lines, new.anchor, witness)
    assert caught.value.check == ("root" if how == "other" else "restored")


def test_n148_two_rival_restorations_of_one_backup_are_told_apart(registry, tmp_path):
    archive = registry.backup(tmp_path / "backup.tar")
    gateway = Gateway(tmp_path / "gateway", registry)
    gateway.hears(registry)
    first = registry.restored(archive, tmp_path / "first")
    second = registry.restored(archive, tmp_path / "second")
    gateway.hears(first)
    second.grow(40)
    assert refused(lambda: gateway.hears(second)) == Reason.CONTROLLER_BEHIND
    assert not gateway.view.open


def test_n148_a_restoration_that_is_older_than_what_was_seen_says_that_two_are_at_work(
    registry, tmp_path
):
    archive = registry.backup(tmp_path / "backup.tar")
    new = registry.restored(archive, tmp_path / "new")
    seen = registry.grow(2)  # the old one went on serving
    later = replace(parse_head(seen), at_ms=parse_head(seen).at_ms + 3_600_000)
    signer = registry.keys.signing["log"]
    envelope = later.seal(signer.der, signer.sign)
    with pytest.raises(Refused) as caught:
        follow_log_head(envelope, new.shows(later), new.anchor)
    assert "stop the other controller" in caught.value.failures[0].hint


def test_n148_an_older_backup_than_the_last_restoration_is_followed_all_the_same(
    registry, tmp_path
):
    """It may be a copy of what that restoration had given up."""
    first = registry.backup(tmp_path / "first.tar")
    registry.grow(3)
    second = registry.backup(tmp_path / "second.tar")
    new = registry.restored(first, tmp_path / "new")
    gateway, watch, usb = (
        Gateway(tmp_path / "gateway", new),
        ControllerWatch(tmp_path),
        tmp_path / "u",
    )
    write_head(usb, new.grow(9))
    gateway.hears(new)
    camera_hears(watch, new)
    stray = registry.restored(second, tmp_path / "stray")  # without a word of what was seen
    assert refused(lambda: gateway.hears(stray)) == Reason.CONTROLLER_BEHIND
    good = registry.restored(second, tmp_path / "good", usb)
    gateway.hears(good)
    camera_hears(watch, good)
    assert gateway.view.open
    heads = [head_line(h) for h in read_heads(usb)]
    assert verify_log(export(good), good.anchor, heads).restorations == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda p, other: replace(p, restorations=()),
        lambda p, other: replace(p, restorations=(*p.restorations, *p.restorations)),
        lambda p, other: replace(p, growth=()),
        lambda p, other: replace(p, growth=(*p.growth, bytes(32))),
        lambda p, other: replace(p, restorations=(other(number=2),)),
        lambda p, other: replace(p, restorations=(other(kept=3),)),
        lambda p, other: replace(p, restorations=(other(kept_root="00" * 32),)),
        lambda p, other: replace(p, restorations=(other(fleet="other"),)),
        lambda p, other: replace(p, restorations=(p.checkpoint,)),
        lambda p, other: replace(p, checkpoint=p.restorations[0]),
        lambda p, other: replace(p, restorations=(other(stranger=True),)),
        lambda p, other: replace(p, restorations=(p.restorations[0][:-9] + b'AAAA"}]}',)),
    ],
    ids=[
        "no restoration",
        "the same twice",
        "no proof",
        "a longer proof",
        "another number",
        "another size",
        "another root",
        "another fleet's",
        "a head as a restoration",
        "a restoration as a head",
        "a stranger's signature",
        "a damaged signature",
    ],
)
def test_n148_a_position_that_does_not_hold_is_not_followed(registry, tmp_path, change):
    archive = registry.backup(tmp_path / "backup.tar")
    seen = registry.grow(6)
    new = registry.restored(archive, tmp_path / "new")
    new.grow(3)
    position = new.shows(parse_head(seen))
    genuine = new.last if hasattr(new, "last") else registry.last

    def other(*, stranger: bool = False, **members) -> bytes:
        keys = found_fleet(tmp_path / "stranger", "plant") if stranger else new.keys
        signer = keys.signing["log"]
        statement: Restoration = replace(genuine.begun.restoration, **members)
        return statement.seal(signer.der, signer.sign)

    assert follow_log_head(seen, position, new.anchor).lost is not None
    with pytest.raises(FramegateError) as caught:
        follow_log_head(seen, change(position, other), new.anchor)
    assert caught.value.reason in {Reason.CONTROLLER_BEHIND, Reason.AUDIT, Reason.ENVELOPE}


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=400), st.lists(st.binary(max_size=40), max_size=3))
def test_n148_garbage_in_a_position_is_refused_in_our_words(keys, envelope, growth):
    from framegate.record.verify import LogAnchor

    anchor = LogAnchor(root=keys.root.certificate)
    with pytest.raises(FramegateError):
        follow_log_head(None, LogPosition(envelope, tuple(growth), ()), anchor)


def test_n148_revisions_and_versions_rise_past_everything_that_was_seen(registry, tmp_path):
    archive = registry.backup(tmp_path / "backup.tar")
    before = registry.change(lambda tx: (tx.revision(), tx.policies.current().version))
    seen = tmp_path / "feed-revision"
    seen.write_text(str(before[0] + 5 * REVISION_STEP))
    new = registry.restored(archive, tmp_path / "new", seen)
    revision, version = new.change(lambda tx: (tx.revision(), tx.policies.current().version))
    assert revision > before[0] + 6 * REVISION_STEP and version > before[1] + 1_000_000
    with pytest.raises(FramegateError):
        registry.restored(archive, tmp_path / "new", seen)  # never over a fleet that is there


def test_n148_a_file_of_another_fleets_heads_is_no_word_about_this_one(registry, tmp_path):
    other = Registry(tmp_path / "other", another=True)
    usb = tmp_path / "usb"
    write_head(usb, other.grow(3))
    archive = registry.backup(tmp_path / "backup.tar")
    with pytest.raises(Refused) as caught:
        registry.restored(archive, tmp_path / "new", usb)
    assert caught.value.reason == Reason.AUDIT
    assert not (tmp_path / "new" / "registry.db").exists()


def test_n148_after_a_restoration_every_machine_has_to_prove_itself_anew(registry):
    """What its last proof said, nobody who restores can know."""

    def add(tx) -> None:
        for name, state in (("cam1", State.TRUSTED), ("cam2", State.QUARANTINED)):
            tx.devices.add(camera_of(name, state, since_ms=tx.now_ms))

    registry.change(add)
    registry.made_good()
    states = registry.change(lambda tx: {d.name: d.state for d in tx.devices.all()})
    assert states == {"cam1": State.STALE, "cam2": State.QUARANTINED}


def test_n148_what_machines_hold_by_a_version_is_signed_anew_above_all_they_may_have_seen(registry):
    """Else a camera would keep a mask, a gateway a model or a part, of the time that was lost."""

    def add(tx) -> None:
        camera, keys = camera_of("cam1", State.TRUSTED, since_ms=tx.now_ms), registry.keys
        tx.devices.add(camera)
        set_masks(tx, keys, camera, ({"points": [[0, 0], [8, 0], [8, 8]]},))
        part = PartStatement("board", 0, ("ab" * 32,), (), 0.0, (), "x", (), 0, 0)
        set_part(tx, keys, PartChange(part, ()), "x", ())
        model = Model(
            digest="ab" * 32,
            name="boards",
            version=1,
            signer="key",
            anchor="cd" * 32,
            files={},
            recipe=b"{}",
            card=b"",
            state=ModelState.APPROVED,
            registered_by="x",
            approved_by=(),
            at_ms=tx.now_ms,
        )
        tx.models.put(model)
        pin_model(tx, keys, "line-1", model, rollback=False)

    registry.change(add)
    before = registry.change(versions)
    registry.made_good()
    after = registry.change(versions)
    assert sorted(after) == sorted(before) == ["masks", "part", "pin", "policy"]
    assert all(after[what] >= before[what] + VERSION_STEP for what in before), after


def versions(tx) -> dict[str, int]:
    """As their signed texts say."""
    signed = {
        "masks": (tx.masks.all()[0].envelope, MaskStatement, "version"),
        "part": (tx.parts.all(removed=True)[0].envelope, PartStatement, "version"),
        "pin": (tx.models.pin("line-1").envelope, ModelPin, "sequence"),
        "policy": (tx.policies.current().envelope, PolicyStatement, "version"),
    }
    return {
        what: getattr(kind.parse_payload(parse_envelope(raw, kind.TYPE).payload), name)
        for what, (raw, kind, name) in signed.items()
    }


def test_n148_a_backup_of_a_copy_that_went_its_own_way_is_no_record_that_others_saw(
    registry, tmp_path
):
    """What a witness saw tells where it parted: a restoration that owned up to none of it would be
    followed by nobody.
    """
    shared = parse_head(registry.grow()).size
    copy = Registry(registry.copy(tmp_path / "copy"))
    usb = tmp_path / "usb"
    write_head(usb, registry.grow(2, why="what others saw"))
    gateway = Gateway(tmp_path / "gateway", registry)
    gateway.hears(registry)
    copy.grow(9, why="another life")
    archive = copy.backup(tmp_path / "backup.tar")
    restored = copy.restored(archive, tmp_path / "new", usb)
    assert copy.last.begun.restoration.kept <= shared
    gateway.hears(restored)
    assert gateway.view.open
