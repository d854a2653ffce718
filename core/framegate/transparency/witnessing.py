"""What a witness answers to a head that it is to cosign (c2sp.org/tlog-witness)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from framegate.errors import FramegateError, Reason, Refused
from framegate.record.merkle import EMPTY_ROOT
from framegate.record.verify import consistent
from framegate.transparency.head import TreeHead, parse_head
from framegate.transparency.note import NoteKey, verified_keys
from framegate.transparency.submission import Submission

BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404
CONFLICT: Final = 409
UNPROCESSABLE: Final = 422


class Declined(Refused):
    """A head that is not cosigned: `status` is HTTP's, `size` what the witness cosigned last, where
    that is said. With `forked` the submitted head and that one are of one size and differ, both
    signed by the log: proof that it has two histories.
    """

    status: int
    size: int | None
    forked: bool

    @classmethod
    def by(
        cls,
        status: int,
        expected: str,
        actual: object,
        *,
        size: int | None = None,
        forked: bool = False,
    ) -> Declined:
        """Raise this."""
        reason = Reason.LOG_FORKED if forked else Reason.NOT_COSIGNED
        declined = cls(Refused.of(reason, expected, actual).failures)
        declined.status, declined.size, declined.forked = status, size, forked
        return declined


def require_consistent(
    submission: Submission, logs: Iterable[NoteKey], last: TreeHead | None
) -> TreeHead:
    """The head that may be cosigned, once it was made durable as the last one.

    `logs` are keys of the logs that are watched; `last` is what was cosigned last of this origin.

    1. it is a head, and not smaller than the old size (400);
    2. its origin is known (404), and one of that log's keys signed it (403);
    3. it is no other head of the size that was cosigned last (409, and the log is forked);
    4. the old size is what was cosigned last, 0 for nothing (409);
    5. the proof leads from that head to this one, and is empty from nothing (422).

    Raises Declined.
    """
    try:
        head = parse_head(submission.note.text)  # 1
    except FramegateError as error:
        raise Declined.by(BAD_REQUEST, "a head", error) from error
    keys = [key for key in logs if key.name == head.origin]
    if not keys:  # 2
        raise Declined.by(NOT_FOUND, "a log that is watched", ascii(head.origin)[:80])
    try:
        signed = verified_keys(submission.note, keys)
    except FramegateError as error:
        raise Declined.by(FORBIDDEN, "a head signed by its log", error) from error
    if not signed:
        raise Declined.by(FORBIDDEN, "a head signed by its log", "no signature of it")
    if submission.old > head.size:
        raise Declined.by(BAD_REQUEST, f"an old size up to {head.size}", submission.old)
    size = last.size if last is not None else 0
    if last is not None and head.size == size and head.root != last.root:  # 3
        wanted, came = f"root {last.root.hex()[:16]} at {size}", head.root.hex()[:16]
        raise Declined.by(CONFLICT, wanted, came, size=size, forked=True)
    if submission.old != size:  # 4
        raise Declined.by(CONFLICT, f"a proof from {size}", submission.old, size=size)
    before = last.root if last is not None else EMPTY_ROOT
    empty = submission.old == 0 and (submission.proof or (not head.size and head.root != before))
    if empty or not consistent(size, before, head.size, head.root, submission.proof):  # 5
        raise Declined.by(UNPROCESSABLE, f"a proof from {size} to {head.size}", "another")
    return head
