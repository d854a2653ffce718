"""Parts of the fleet: which golden images a part is compared with, and how strictly.

Each is signed, under versions that never fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from framegate.errors import Malformed, Reason, Refused
from framegate.payload.contract import MAGIC
from framegate.record.fleet_events import PartRemoved, PartSet
from framegate.registry.model import Part
from framegate.signed.dsse import parse_envelope, strict_json
from framegate.signed.inspected import LOOSE
from framegate.signed.mask import as_fractions
from framegate.signed.part import (
    MAX_GOLDEN_BYTES,
    MAX_GOLDENS,
    PartStatement,
    check_part,
    left_by,
)
from framegate.signed.part_rules import weakened
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.versions import next_version

MAX_PARTS: Final = 2_000
"""Parts of a fleet: their statements, a kilobyte each, are told to gateways as they connect."""
MAX_GOLDENS_BYTES: Final = 3 * 1024 * 1024
"""All golden images of one request: what a call may carry."""
MAX_RULES_BYTES: Final = 64 * 1024
"""Rules of a part: its thresholds and regions, as a person writes them."""
MAX_SOURCE: Final = 200
"""Characters that say where golden images are from."""
MAX_MODELS: Final = 200
"""Models whose classes a threshold may name, the newest ones."""
PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""How PNG and JPEG files begin."""
GOLDENS: Final = (*PICTURES, MAGIC)
"""How golden images begin, and golden windows of payloads that are no pictures."""


@dataclass(frozen=True, slots=True)
class PartChange:
    """A part as it is to be signed, and its golden images; or that it is to go.

    Version, time and who approved it are still open.
    """

    part: PartStatement
    goldens: tuple[bytes, ...]

    @property
    def summary(self) -> str:
        """For people."""
        if self.part.removed:
            return f"take part {self.part.part_type} away"
        images = ", ".join(g[:16] for g in self.part.goldens)
        said = f"{len(self.goldens)} golden images ({images}), {left_by(self.part)} inspected"
        if self.part.tolerant_percent:
            tolerated = f"{self.part.tolerant_percent} % of the picture"
            said = f"{said}, more than {LOOSE} grey levels tolerated on {tolerated}"
        if self.part.looks:
            frames = min(row["frames"] for row in self.part.looks)
            said = f"{said}, {len(self.part.looks)} second looks from {frames} frames"
        return f"part {self.part.part_type}: {said}"

    def weakened(self, tx: Transaction) -> str:
        """What of the guard in force this takes away or loosens, in words; "" for nothing."""
        before = _before(tx, self.part.part_type)
        said = () if before is None or self.part.removed else weakened(before, self.part)
        return f". WEAKER GUARD: {'; '.join(said)}" if said else ""


def _before(tx: Transaction, part_type: str) -> PartStatement | None:
    """A part's latest version, one that was taken away too: it has the rules that it had."""
    earlier = tx.parts.get(part_type)
    if earlier is None:
        return None
    return PartStatement.parse_payload(parse_envelope(earlier.envelope, PartStatement.TYPE).payload)


def parse_change(
    part_type: str, goldens: Sequence[bytes], rules: bytes, source: str, *, remove: bool
) -> PartChange:
    """What is asked for. Raises Malformed (PART)."""
    read = _parse_rules(rules)
    if remove and (goldens or any(read.values())):
        wanted = "no golden images and no rules of a part that goes"
        raise Malformed.of(Reason.PART, wanted, f"{len(goldens)} images, {ascii(read)[:80]}")
    if not remove:
        _check_goldens(goldens, source)
    part = PartStatement(
        part_type=part_type,
        version=1,
        goldens=tuple(sha256(g).hex() for g in goldens),
        thresholds=tuple(read["thresholds"]),
        min_size_px=float(read["min_size_px"]),
        ignore=tuple(read["ignore"]),
        source=source[:MAX_SOURCE],
        approved_by=(),
        removed=int(remove),
        issued_at_ms=0,
        looks=tuple(read["looks"]),
        outline=tuple(read["outline"]),
        tolerant_percent=read["tolerant_percent"],
    )
    check_part(part)
    same = replace(part, ignore=as_fractions(part.ignore), outline=as_fractions(part.outline))
    return PartChange(same, tuple(goldens))


def _check_goldens(goldens: Sequence[bytes], source: str) -> None:
    whole = sum(map(len, goldens))
    if (
        not 1 <= len(goldens) <= MAX_GOLDENS
        or any(len(g) > MAX_GOLDEN_BYTES for g in goldens)
        or whole > MAX_GOLDENS_BYTES
    ):
        wanted = f"1 to {MAX_GOLDENS} golden images, {MAX_GOLDENS_BYTES} bytes together"
        raise Malformed.of(Reason.PART, wanted, f"{len(goldens)}, {whole} bytes")
    if any(not g.startswith(GOLDENS) for g in goldens):
        wanted = "golden images as PNG or JPEG, or golden windows of another payload"
        raise Malformed.of(Reason.PART, wanted, "another file")
    if not source.strip():
        raise Malformed.of(
            Reason.PART, "where the golden images are from", "nothing", "--source TEXT"
        )


def _parse_rules(raw: bytes) -> dict[str, Any]:
    defaults: dict[str, Any] = {"thresholds": [], "min_size_px": 0.0}
    defaults |= {"ignore": [], "looks": [], "outline": [], "tolerant_percent": 0}
    body = strict_json(raw) if raw else {}
    if len(raw) > MAX_RULES_BYTES or type(body) is not dict or set(body) - set(defaults):
        raise Malformed.of(
            Reason.PART,
            "rules with thresholds, min_size_px, ignore, looks, outline and tolerant_percent",
            ascii(body)[:80],
        )
    rules = {**defaults, **body}
    lists = all(type(rules[name]) is list for name in ("thresholds", "ignore", "looks", "outline"))
    numbers = type(rules["min_size_px"]) in {int, float} and type(rules["tolerant_percent"]) is int
    if not lists or not numbers:
        wanted = "lists of thresholds, regions and looks, numbers min_size_px and tolerant_percent"
        raise Malformed.of(Reason.PART, wanted, ascii(rules)[:80])
    for name in ("thresholds", "looks"):
        if any(type(row) is not dict for row in rules[name]):
            raise Malformed.of(Reason.PART, f"{name} as records", ascii(rules[name])[:80])
    return rules


def set_part(
    tx: Transaction, keys: FleetKeys, change: PartChange, by: str, approved_by: tuple[str, ...]
) -> Part:
    """Sign a part under its next version, or take it away. Raises Refused (PART), also for
    thresholds of classes that no registered model has: they would hold of nothing.

    One that was taken away stays as such, so that its version never falls, and with its rules: who
    adds it again is told what of them goes (N184).
    """
    asked, before = change.part, _before(tx, change.part.part_type)
    if before is None and (asked.removed or tx.parts.count() >= MAX_PARTS):
        wanted = f"a part there is, and at most {MAX_PARTS}"
        raise Refused.of(Reason.PART, wanted, ascii(asked.part_type[:60]), "framegate part list")
    if before is not None and asked.removed:
        asked = replace(before, goldens=(), source=asked.source, removed=1)
    else:
        _require_known(tx, asked)
    summary = change.summary + change.weakened(tx)
    for image in change.goldens:
        tx.parts.keep_golden(image)
    part = _signed(tx, keys, replace(asked, approved_by=(by, *approved_by)), by)
    event = PartRemoved if part.removed else PartSet
    tx.record(event(part_type=part.part_type, summary=summary, version=part.version))
    return part


def _require_known(tx: Transaction, asked: PartStatement) -> None:
    """Where no model is registered, gateways run bundles of their own, of which nothing is known
    here.
    """
    known = {kind for model in tx.models.all(MAX_MODELS) for kind in _classes(model.recipe)}
    strange = [str(t["kind"]) for t in asked.thresholds if t["kind"] not in known]
    if known and strange:
        wanted = f"classes of the registered models: {', '.join(sorted(known))}"
        raise Refused.of(Reason.PART, wanted, ascii(strange[0][:60]), "framegate model list")


def _classes(recipe: bytes) -> list[str]:
    body = strict_json(recipe)
    classes = body.get("classes") if isinstance(body, dict) else None
    return [str(each) for each in classes] if isinstance(classes, list) else []


def sign_parts_anew(tx: Transaction, keys: FleetKeys) -> int:
    """Every part once more, under its next version, removed ones too; how many there are."""
    parts = tx.parts.all(removed=True)
    for part in parts:
        payload = parse_envelope(part.envelope, PartStatement.TYPE).payload
        _signed(tx, keys, PartStatement.parse_payload(payload), part.by)
    return len(parts)


def _signed(tx: Transaction, keys: FleetKeys, asked: PartStatement, by: str) -> Part:
    earlier = tx.parts.get(asked.part_type)
    version = next_version(tx, earlier.version if earlier is not None else 0)
    statement = replace(asked, version=version, issued_at_ms=tx.now_ms)
    signer = keys.signing["part"]
    envelope = statement.seal(signer.der, signer.sign)
    part = Part(
        part_type=statement.part_type,
        version=version,
        removed=bool(statement.removed),
        envelope=envelope,
        by=by,
    )
    tx.parts.put(part)
    tx.raise_revision()
    return part


def part_envelopes(tx: Transaction) -> list[bytes]:
    """Every part's envelope, removed ones too: a gateway that kept one learns that it is gone."""
    return [p.envelope for p in tx.parts.all(removed=True)]


def find_part(tx: Transaction, part_type: str) -> Part:
    """A part that is there. Raises Refused (NOT_FOUND)."""
    part = tx.parts.get(part_type)
    if part is None or part.removed:
        raise Refused.of(
            Reason.NOT_FOUND, "a part's id", ascii(part_type[:80]), "framegate part list"
        )
    return part


def golden_images(tx: Transaction, part: Part) -> list[bytes]:
    """Those of a part. Raises Refused (NOT_FOUND)."""
    statement = PartStatement.parse_payload(
        parse_envelope(part.envelope, PartStatement.TYPE).payload
    )
    return [golden_image(tx, bytes.fromhex(g)) for g in statement.goldens]


def golden_image(tx: Transaction, digest: bytes) -> bytes:
    """A golden image by its digest. Raises Refused (NOT_FOUND)."""
    image = tx.parts.golden(digest)
    if image is None:
        raise Refused.of(Reason.NOT_FOUND, "a golden image's digest", digest.hex()[:64])
    return image
