"""What evidence comes to on one snapshot of the registry: what the machine is held to is read,
verified and appraised by it, and what follows is worked out; nothing is written.
"""

from __future__ import annotations

from dataclasses import replace

from framegate.errors import EvidenceRejected, Malformed, Reason, Refused
from framegate.evidence.challenge import ChallengeState
from framegate.evidence.verify import Expectation
from framegate.registry.device import Device
from framegate.tpm.public import parse_public
from framegate.wire import sha256
from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import whole_list_wanted
from framegate_controller.fleet.challenges import selection_of
from framegate_controller.fleet.firmware import Accepted, FirmwareRules
from framegate_controller.fleet.judge import Grounds, judge, known_prefix
from framegate_controller.fleet.weigh import Case, Weighed, weigh, weigh_refusal
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.content import ContentCache


class Looks:
    """Looks at evidence; remembers the boot logs that it compared with."""

    def __init__(self, fleet: Fleet, rules: FirmwareRules, boot_logs: ContentCache) -> None:
        self._fleet, self._rules, self._boot_logs = fleet, rules, boot_logs

    def of_machine(
        self, tx: Transaction, device: Device, opened: ChallengeState, evidence: bytes
    ) -> tuple[Case, Weighed]:
        """The same for evidence on the fleet port, which answers the challenge `opened`."""
        if device.tpm is None or device.tls is None:
            raise Refused.of(Reason.DEVICE_UNKNOWN, "an enrolled device", device.id, "join again")
        accepted = self._rules.for_device(tx, self._fleet, device)
        prefix = known_prefix(device.baseline, accepted.profiles) if opened.ima_offset else None
        ak, tls = parse_public(device.tpm.ak_public), parse_public(device.tls.public)
        expected = Expectation(
            transcript=opened.transcript,
            ak=ak,
            tls=tls,
            selection=selection_of(opened),
            join=False,
            stored_boot_log=self._boot_log(tx, device),
            ima_prefix=prefix,
        )
        if opened.ima_offset and (
            prefix is None or prefix.entries != opened.ima_offset
        ):  # moved by another session, or a new profile
            answer = whole_list_wanted(device, opened.ima_offset)
            return Case(device=device, expected=expected, evidence=evidence), Weighed(
                device=device, answer=answer
            )
        return self.of(tx, device, expected, evidence, accepted=accepted)

    def of(
        self,
        tx: Transaction,
        device: Device,
        expected: Expectation,
        evidence: bytes,
        *,
        unpinned: bool = False,
        accepted: Accepted | None = None,
    ) -> tuple[Case, Weighed]:
        """Evidence of `device`, as `tx` has it."""
        case = Case(device=device, expected=expected, evidence=evidence, unpinned=unpinned)
        try:
            accepted = accepted or self._rules.for_device(tx, self._fleet, device)
            grounds = Grounds(
                baseline=device.baseline,
                profiles=accepted.profiles,
                allowlists=self._rules.allowlists(tx, [p.profile for p in accepted.profiles]),
                earlier=lambda known: tx.evidence.ima_list(
                    device.id, known.reset_count, known.restart_count, known.entries
                ),
            )
            judged = judge(grounds, evidence, expected, tx.now_ms)
        except (Malformed, EvidenceRejected, Refused) as error:
            return case, weigh_refusal(device, error, tx.now_ms)
        case = replace(case, rollout=accepted.rollout)
        return case, weigh(self._fleet, case, judged, tx.now_ms)

    def _boot_log(self, tx: Transaction, device: Device) -> bytes:
        digest = device.baseline.boot_log_sha256
        boot_log = self._boot_logs.get(digest) if digest else b""
        if boot_log is None:
            boot_log = tx.evidence.boot_log(digest) or b""
            if sha256(boot_log) == digest:
                self._boot_logs.keep(digest, boot_log)
        return boot_log
