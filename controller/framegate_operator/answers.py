"""What a gateway or a controller answers is input: of another form than asked for, it is a refusal,
and never an error of ours in an operator's terminal (N220, N239).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.looks.fingerprint import Fingerprint, parse_fingerprint
from framegate.looks.kinds import MOST_MEASURED, Look
from framegate.looks.limits import MAX_COMMISSION, is_camera
from framegate.signed.dsse import strict_json
from framegate_proto.v1 import framegate_pb2 as pb

_FAULTS: Final = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
)
MAX_CAMERAS: Final = 64
THIS_GATEWAY: Final = "do not use what this gateway gives out: framegate gateway list"
CONTROLLER: Final = "look into the controller's host: framegate audit verify of an export"
"""What to do about an answer of a controller that is none."""


@contextlib.contextmanager
def reading(what: str, hint: str = THIS_GATEWAY) -> Iterator[None]:
    """Read an answer inside. Raises Malformed where it is not `what`."""
    try:
        yield
    except _FAULTS as error:
        raise Malformed.of(Reason.MALFORMED, what, type(error).__name__, hint) from error


def json_object(raw: bytes, what: str, hint: str = THIS_GATEWAY) -> dict[str, Any]:
    """A JSON object. Raises Malformed."""
    with reading(what, hint):
        body = strict_json(raw)
        if type(body) is not dict:
            raise TypeError(type(body).__name__)
        return body


def posture_of(detail: pb.DeviceDetail) -> dict[str, Any]:
    """What a machine says of itself, as its controller has it. Raises Malformed."""
    text = detail.posture
    return json_object(text.encode(), "a posture", CONTROLLER) if text else {}


def fingerprints(body: Mapping[str, Any]) -> dict[str, Fingerprint]:
    """What is known of cameras' sensors, by name; nothing by a gateway that learns none. Raises
    Malformed.
    """
    with reading("fingerprints of cameras"):
        said = body.get("fingerprints", {})
        if len(said) > MAX_CAMERAS or not all(is_camera(name) for name in said):
            raise ValueError(f"names of {len(said)} cameras")
        return {name: parse_fingerprint(text) for name, text in said.items()}


def measured_looks(body: Mapping[str, Any]) -> list[dict[Look, float]]:
    """What second looks measured, a row for each frame.

    1. looks that there are, each with one number or null for each of the same frames, no more of
    them than can be asked for; 2. every number is one that a look can measure; whole numbers are
    compared before they are converted (N206). Raises Malformed.
    """
    with reading("what second looks measured of sound frames"):
        columns = {Look(name): values for name, values in body["looks"].items()}
        counts = {len(values) for values in columns.values() if type(values) is list}
        if len(counts) != 1 or any(type(v) is not list for v in columns.values()):  # 1
            raise ValueError(f"columns of {sorted(counts)[:4]} numbers")
        (count,) = counts
        if count > MAX_COMMISSION:
            raise ValueError(f"{count} frames")
        return [
            {look: _number(values[n]) for look, values in columns.items() if values[n] is not None}
            for n in range(count)
        ]


def camera_names(body: Mapping[str, Any]) -> list[str]:
    """The cameras that it was measured at. Raises Malformed."""
    with reading("names of cameras"):
        cameras = body["cameras"]
        if type(cameras) is not list or len(cameras) > MAX_CAMERAS:
            raise TypeError("a list of names")
        if any(type(name) is not str or len(name) > 200 for name in cameras):
            raise TypeError("a list of names")
        return cameras


def _number(value: Any) -> float:
    if type(value) not in {int, float} or not -1 <= value <= MOST_MEASURED:  # 2
        raise ValueError("a number that a look can measure")
    return float(value)
