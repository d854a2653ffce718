"""One verdict in words: what came of the part, by what, and why; out of its verified receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from framegate.errors import Reason
from framegate.receipt_verifier import VerifiedReceipt
from framegate.signed.heat import heat_shades
from framegate_operator.machines import short_names
from framegate_operator.output import ago, short_id

_MEANS: Final = MappingProxyType(
    {
        Reason.FRAME_GAP: "triggers came and no frame did: see to the camera and its cable",
        Reason.FRAME_FROZEN: "the camera sent the same picture again",
        Reason.IMAGE_COVERED: "the picture shows too little of the part: see to what covers it",
        Reason.IMAGE_EXPOSURE: "the picture is too dark or too bright: see to light and shutter",
        Reason.IMAGE_DEFOCUS: "the picture is not sharp: see to lens and distance",
        Reason.IMAGE: "the picture could not be read",
        Reason.REGISTRATION: "the picture does not show the part of the golden image",
        Reason.OUT_OF_PLACE: "the part lies too far off its place: see to the fixture",
        Reason.IMAGE_CONTRAST: "the picture is too faint: see to lens, light and gain",
        Reason.RESIDUAL_UNEXPLAINED: "the part differs from its golden image where the model is"
        " silent: look at it",
        Reason.DETECTION_NEAR: "something is nearly a defect: look at the part",
        Reason.ANSWER_UNSTEADY: "the model finds a defect once the picture is turned: look at it",
        Reason.HIGH_FREQUENCY: "the picture has more grain than the camera's: it may be perturbed",
        Reason.HIGH_FREQUENCY_BLOCK: "one place has grain of no part: a patch, a sticker?",
        Reason.COARSE_GRAIN: "flat places are blotched as no part is: it may be perturbed",
        Reason.NOISE_MISSING: "the picture lacks the camera's noise: it may be no photograph",
        Reason.GOLDEN_COPY: "the picture is too like the golden image: is that shown?",
        Reason.SCENE_REPLAYED: "the picture is one that this camera sent before",
        Reason.CAMERA_FOREIGN: "the last pictures are not by the sensor that was commissioned",
        Reason.PAYLOAD: "what came is not of the kind that its camera says, or the model takes",
        Reason.PAYLOAD_STALE: "it was captured too long ago: see to the sensor's clock",
        Reason.PAYLOAD_REPLAYED: "it is of a time that was measured before",
        Reason.SERIES_RATE: "the sensor measures at another rate, or the shaft stands still",
        Reason.SERIES_GAP: "samples are missing in it: see to the sensor's cable and driver",
        Reason.SERIES_FLAT: "a channel measures nothing: see to cable and mount",
        Reason.SERIES_CLIPPED: "a channel is driven beyond its range: less gain",
        Reason.SERIES_DROPOUT: "a channel stands still for a while: see to its cable",
        Reason.INSPECTED_SHARE: "masks and the part's rules leave too little of it",
        Reason.PART_UNKNOWN: "no golden image of this part is in force: framegate part list",
        Reason.MASK: "the frame is not masked as the fleet's masks in force say",
        Reason.MODEL: "the model that the camera's grant names was not there",
        Reason.INFERENCE: "the model gave no answer",
        Reason.TIMEOUT: "the answer would have come too late",
        Reason.STALE: "the camera had no fresh attestation",
        Reason.SUSPECT: "the camera's evidence contradicts its profile",
        Reason.QUARANTINED: "an operator holds the camera",
        Reason.NOT_TRUSTED: "the camera was not trusted",
        Reason.MAINTENANCE: "the camera is being worked on",
    }
)
"""What a reason of UNINSPECTED means to whoever stands at the line."""


def verdict_facts(receipt: VerifiedReceipt) -> list[tuple[str, object]]:
    """What is shown of a verdict: the part, what came of it, by which camera and model."""
    claims, fg = receipt.claims, receipt.claims["fg"]
    made = f"{datetime.fromtimestamp(claims['iat_ms'] / 1000, UTC):%F %TZ}, {ago(claims['iat_ms'])}"
    name = short_names([fg["device"]])[fg["device"]]
    if receipt.is_gap:
        return [
            ("outcome", f"{fg['outcome']} {fg['reason']}"),
            ("triggers", f"{fg['count']} of {fg['first']} to {fg['last']}"),
            ("camera", name),
            ("made", made),
        ]
    rows: list[tuple[str, object]] = [
        ("outcome", f"{fg['outcome']} {fg['reason']}".strip()),
        *([("stage", f"{fg['stage']}: its zone diverts nothing")] if fg.get("stage") else []),
        ("part", f"{fg['part']} ({fg['part_type']}), trigger {fg['trigger_sequence']}"),
        *([("payload", fg["payload_kind"])] if fg.get("payload_kind") else []),
        ("camera", name),
        ("made", made),
        ("model", f"{claims['model_id']} {short_id(claims['model_hash'])}"),
    ]
    for defect in receipt.verdict["defects"]:
        where = _where(defect["box"], fg.get("payload_kind"))
        rows.append(("defect", f"{defect['kind']} {defect['score']:.2f}, {where}"))
    rows += [("heat" if not n else "", line) for n, line in enumerate(_heat_lines(receipt))]
    rows += [
        ("verdict", short_id(claims["cti"])),
        ("proofs", "; ".join(receipt.notes) or "complete"),
    ]
    return rows


def _where(box: Sequence[float], kind: str | None) -> str:
    """Of a picture in pixels; of anything else in its rows, which people count from 1."""
    x1, y1, x2, y2 = (round(v) for v in box)
    if not kind:
        return f"{x2 - x1} by {y2 - y1} px at {x1}, {y1}"
    rows = f"channel {y1 + 1}" if y2 - y1 <= 1 else f"channels {y1 + 1} to {y2}"
    return f"{rows}, values {x1} to {x2}"


def _heat_lines(receipt: VerifiedReceipt) -> list[str]:
    """The heat under the first defect, in a frame: a line of blanks is a row of it, too."""
    shades = heat_shades(receipt.verdict["defects"][0]) if receipt.verdict["defects"] else []
    if not shades:
        return []
    rim = "+" + "-" * len(shades[0]) + "+"
    return [rim, *(f"|{line}|" for line in shades), rim]


def why_so(receipt: VerifiedReceipt) -> Iterator[str]:
    """Sentences on why the outcome is what it is, and where to look next."""
    claims, fg = receipt.claims, receipt.claims["fg"]
    name, outcome = short_names([fg["device"]])[fg["device"]], fg["outcome"]
    if outcome == "UNINSPECTED":
        reason = fg["reason"]
        means = _MEANS.get(Reason(reason)) if reason in set(Reason) else None
        yield f"It was not inspected: {reason}{f', {means}' if means else ''}."
        yield f"Next: framegate camera why {name}"
        return
    model = f"model {claims['model_id']}"
    defects = receipt.verdict["defects"]
    if defects:
        kinds = Counter(d["kind"] for d in defects).most_common()
        told = ", ".join(f"{count} {kind}" for kind, count in kinds)
        yield f"The {model} found {len(defects)} defect{'s' if len(defects) > 1 else ''}: {told}."
        yield f"Next: framegate verdict show {short_id(claims['cti'])} --picture FILE.png"
    else:
        yield f"The {model} found nothing that counts as a defect of {fg['part_type']}."
        yield f"What it rests on: framegate receipt show {short_id(claims['cti'])}"
