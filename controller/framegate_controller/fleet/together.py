"""Machines that ask at the same time are answered together: one snapshot to look at all of them,
one transaction to write. Each is told what it would be told alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from framegate.errors import FramegateError, Unavailable
from framegate.registry.device import Device
from framegate_controller.fleet.answer import Answer
from framegate_controller.fleet.attestation import Looked, OfferedEvidence, Verifier
from framegate_controller.fleet.callers import standing_device
from framegate_controller.fleet.challenges import SignedChallenge
from framegate_controller.fleet.commit import commit, expect
from framegate_controller.store.ports import Transaction


@dataclass(frozen=True, slots=True)
class AskedChallenge:
    """A Hello, and SHA-256 of the key that opened the connection on which it came."""

    key_sha256: bytes
    hello: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The machine as it was, and what its evidence led to."""

    before: Device
    answer: Answer


Asked = AskedChallenge | OfferedEvidence
Outcome = SignedChallenge | Answered | BaseException
"""What one is told; an exception is raised to whoever asked. Not every one is an Exception: a
library of Rust that panics over somebody's bytes raises another.
"""
Waiting = Sequence[tuple[int, Asked]]
"""Who waits for a look, by place."""


class Together:
    """Answers machines on their own TLS connections. That each one's key opened its connection, the
    caller MUST have established.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier, self._store = verifier, verifier.store

    def answer(self, asked: Sequence[Asked]) -> Iterator[Mapping[int, Outcome]]:
        """Outcomes by place in `asked`: of challenges, and of evidence that is refused, once all
        were looked at; of other evidence, once it is written.
        """
        told: dict[int, Outcome] = {}
        looked: dict[int, Looked] = {}
        waiting: Waiting = list(enumerate(asked))
        while waiting:
            waiting = self._look(waiting, told, looked)
        yield told
        if looked:
            yield self._written(looked)

    def _look(
        self, waiting: Waiting, told: dict[int, Outcome], looked: dict[int, Looked]
    ) -> Waiting:
        """Look at those that wait, on one snapshot; who is left where that ended. An error that is
        about nobody's evidence is told to whoever met it, and to all where there is no snapshot.
        """
        rest = iter(waiting)
        place: int | None = None
        try:
            with self._store.reading() as tx:
                tx.devices.expect(keys={one.key_sha256 for _, one in waiting})
                tx.expect_firmware_revision()
                for place, one in rest:
                    try:
                        if isinstance(one, OfferedEvidence):
                            looked[place] = self._verifier.look_offered(tx, one)
                        else:
                            told[place] = self._challenge(tx, one)
                    except Unavailable:  # who comes next would wait as long, and in vain
                        raise
                    except FramegateError as error:
                        told[place] = error
        except BaseException as error:  # noqa: BLE001 - told to whoever asked
            if place is None:  # nobody's, and nobody would be looked at
                told |= {place: error for place, _ in rest}
                return ()
            told[place] = error
            looked.pop(place, None)
        return tuple(rest)

    def _challenge(self, tx: Transaction, asked: AskedChallenge) -> SignedChallenge:
        device = standing_device(tx, asked.key_sha256)
        return self._verifier.begin_known(tx, asked.hello, device)

    def _written(self, looked: Mapping[int, Looked]) -> Mapping[int, Outcome]:
        """Write it all, or, where one of them does not go, each by itself."""
        try:
            with self._store.writing() as tx:
                for each in looked.values():
                    expect(tx, each.weighed)
                for each in looked.values():
                    commit(tx, each.opened, each.case, each.weighed)
        except Unavailable as error:  # nobody is known to be written, and all were tried for long
            return dict.fromkeys(looked, error)
        except BaseException:  # noqa: BLE001 - the one that it is of is told below
            return self._one_by_one(looked)
        return {
            place: Answered(each.case.device, each.weighed.answer) for place, each in looked.items()
        }

    def _one_by_one(self, looked: Mapping[int, Looked]) -> Mapping[int, Outcome]:
        """Write each by itself, until the store is away: the others would wait as long for it."""
        told: dict[int, Outcome] = {}
        away: Unavailable | None = None
        for place, each in looked.items():
            told[place] = outcome = away or self._alone(each)
            away = outcome if isinstance(outcome, Unavailable) else None
        return told

    def _alone(self, looked: Looked) -> Outcome:
        try:
            return Answered(looked.case.device, self._verifier.settle_offered(looked))
        except BaseException as error:  # noqa: BLE001 - told to whoever asked
            return error
