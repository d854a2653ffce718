"""What a person looks at after training: precision against recall, the confusion table, the worst
misses as pictures, and a page of figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Unavailable
from framegate_gateway.inference.detections import Detections, iou
from framegate_host.private_files import private_folder, write_private, write_public
from framegate_models.accuracy import MIN_IOU, at_least, precision_recall, takers
from framegate_models.evaluate import Measured
from framegate_models.sampling import LabelledPair

WORST: Final = 24
"""Misses shown: two pages of a report."""
VIEW_PX: Final = 160
_SIZE_PX: Final = 560
_MARGIN_PX: Final = 60
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
Colour = NDArray[np.uint8]  # (h, w, 3) BGR
_TRUE, _FOUND = (60, 160, 0), (0, 80, 255)


@dataclass(frozen=True, slots=True)
class Miss:
    """An error of the model: the pair, the box in it, what is wrong, and how bad, in [0, 1]."""

    pair: str
    box: NDArray[np.float32]
    what: str
    weight: float


def write_report(
    folder: Path, measured: Measured, pairs: Mapping[str, LabelledPair], extra: Mapping[str, Any]
) -> None:
    """`report.json`, `report.md`, `precision-recall.png`, `confusion.png` and `misses/NN.png` into
    `folder`; `pairs` by name.
    """
    private_folder(folder / "misses")
    _write_png(
        folder / "precision-recall.png",
        curve(
            precision_recall(measured.truths, measured.detections),
            measured.score.recall,
            measured.score.precision,
        ),
    )
    _write_png(
        folder / "confusion.png",
        table(measured.score.confusion, [*measured.score.classes, "nothing"]),
    )
    misses = worst_misses(measured)
    for number, miss in enumerate(misses):
        if miss.pair in pairs:
            detections = measured.detections[measured.names.index(miss.pair)]
            _write_png(
                folder / "misses" / f"{number:02d}.png",
                picture_of(miss, pairs[miss.pair], detections, measured.score.threshold),
            )
    body = {
        **measured.as_dict(),
        **extra,
        "worst_misses": [
            {"pair": m.pair, "box": [round(float(v), 1) for v in m.box], "what": m.what}
            for m in misses
        ],
    }
    write_public(folder / "report.json", json.dumps(body, indent=1).encode() + b"\n")
    write_public(folder / "report.md", _page(body, measured).encode())


def _write_png(path: Path, picture: Any) -> None:
    """A picture of parts is its owner's alone."""
    good, data = cv2.imencode(".png", picture)
    if not good:
        raise Unavailable.of(Reason.IMAGE, f"a picture for {path}", "one that does not encode")
    write_private(path, data.tobytes())


def worst_misses(measured: Measured) -> list[Miss]:
    """At most `WORST` errors at the threshold: wrong classes and false alarms by score, then
    defects with no box at all.
    """
    classes = measured.score.classes
    misses: list[Miss] = []
    for name, truth, loose in zip(
        measured.names, measured.truths, measured.detections, strict=True
    ):
        kept = at_least(loose, measured.score.threshold)
        taken_by, used = takers(truth, kept)
        for box, kind, taken in zip(truth.boxes, truth.kinds, taken_by, strict=True):
            label = classes[int(kind)]
            if taken is None:
                weak = loose.scores[iou(box, loose.boxes) > MIN_IOU] if len(loose) else np.zeros(0)
                unlike = 1.0 - float(weak.max(initial=0.0))
                misses.append(Miss(name, box, f"{label}: not found", unlike))
            elif kept.classes[taken] != kind:
                value = float(kept.scores[taken])
                called = f"{label}: called {classes[int(kept.classes[taken])]} {value:.2f}"
                misses.append(Miss(name, box, called, value))
        misses += [
            Miss(name, b, f"nothing there: called {classes[int(c)]} {s:.2f}", float(s))
            for b, c, s in zip(
                kept.boxes[~used], kept.classes[~used], kept.scores[~used], strict=True
            )
        ]
    return sorted(misses, key=lambda miss: (-miss.weight, miss.pair))[:WORST]


def curve(rows: NDArray[np.float64], recall: float, precision: float) -> Colour:
    """Precision over recall, both from 0.5 to 1, with a dot where the threshold stands."""
    side = _SIZE_PX + 2 * _MARGIN_PX
    picture: Colour = np.full((side, side, 3), 255, np.uint8)

    def at(r: float, p: float) -> tuple[int, int]:
        return _MARGIN_PX + int((np.clip(r, 0.5, 1) - 0.5) * 2 * _SIZE_PX), side - _MARGIN_PX - int(
            (np.clip(p, 0.5, 1) - 0.5) * 2 * _SIZE_PX
        )

    for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        cv2.line(picture, at(tick, 0.5), at(tick, 1), (225, 225, 225), 1)
        cv2.line(picture, at(0.5, tick), at(1, tick), (225, 225, 225), 1)
        cv2.putText(
            picture,
            f"{tick:.1f}",
            (at(tick, 0.5)[0] - 12, side - _MARGIN_PX + 22),
            _FONT,
            0.5,
            (60, 60, 60),
            1,
            cv2.LINE_AA,
        )
        cv2.putText(
            picture,
            f"{tick:.1f}",
            (_MARGIN_PX - 40, at(0.5, tick)[1] + 5),
            _FONT,
            0.5,
            (60, 60, 60),
            1,
            cv2.LINE_AA,
        )
    if len(rows):
        cv2.polylines(
            picture,
            [np.array([at(r, p) for r, p, _ in rows], np.int32)],
            False,
            (160, 60, 0),
            2,
            cv2.LINE_AA,
        )
    cv2.circle(picture, at(recall, precision), 6, _FOUND, -1, cv2.LINE_AA)
    cv2.putText(
        picture,
        f"precision over recall; the dot is the threshold: {precision:.3f}, {recall:.3f}",
        (_MARGIN_PX, 30),
        _FONT,
        0.55,
        (0, 0, 0),
        1,
        cv2.LINE_AA,
    )
    return picture


def table(counts: NDArray[np.int64], names: Sequence[str]) -> Colour:
    """The confusion table: truth by row, what was said by column; the darker, the larger its share
    of the row.
    """
    cell, left, top = 84, 120, 70
    n = len(names)
    picture: Colour = np.full((top + n * cell + 10, left + n * cell + 10, 3), 255, np.uint8)
    cv2.putText(
        picture, "rows: truth, columns: said", (8, 22), _FONT, 0.5, (0, 0, 0), 1, cv2.LINE_AA
    )
    for i in range(n):
        cv2.putText(
            picture,
            names[i][:11],
            (8, top + i * cell + cell // 2),
            _FONT,
            0.5,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
        cv2.putText(
            picture,
            names[i][:9],
            (left + i * cell + 4, top - 10),
            _FONT,
            0.45,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
        for j in range(n):
            share = float(counts[i, j]) / max(int(counts[i].sum()), 1)
            colour = (
                (255 - int(120 * share), 255 - int(200 * share), 255 - int(200 * share))
                if i == j
                else (255 - int(220 * share), 255 - int(220 * share), 255)
            )
            a = (left + j * cell, top + i * cell)
            cv2.rectangle(picture, a, (a[0] + cell - 2, a[1] + cell - 2), colour, -1)
            ink = (255, 255, 255) if i == j and share > 0.5 else (0, 0, 0)
            cv2.putText(
                picture,
                str(int(counts[i, j])),
                (a[0] + 12, a[1] + cell // 2 + 6),
                _FONT,
                0.6,
                ink,
                1,
                cv2.LINE_AA,
            )
    return picture


def picture_of(miss: Miss, pair: LabelledPair, detections: Detections, threshold: float) -> Colour:
    """Golden image and frame around the miss, twice as large: truth in green, what was said in
    red.
    """
    box = miss.box
    cx, cy = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    x, y = (
        max(0, min(c - VIEW_PX // 2, side - VIEW_PX))
        for c, side in ((cx, pair.frame.shape[1]), (cy, pair.frame.shape[0]))
    )
    said = at_least(detections, threshold)
    views = []
    for image, drawn in (
        (pair.golden, ()),
        (pair.frame, ((pair.boxes, _TRUE), (said.boxes, _FOUND))),
    ):
        view = np.asarray(
            cv2.cvtColor(
                cv2.resize(
                    image[y : y + VIEW_PX, x : x + VIEW_PX],
                    None,
                    fx=2,
                    fy=2,
                    interpolation=cv2.INTER_NEAREST,
                ),
                cv2.COLOR_GRAY2BGR,
            ),
            np.uint8,
        )
        for boxes, colour in drawn:
            for b in boxes:
                cv2.rectangle(
                    view,
                    (int((b[0] - x) * 2), int((b[1] - y) * 2)),
                    (int((b[2] - x) * 2), int((b[3] - y) * 2)),
                    colour,
                    2,
                )
        views.append(
            cv2.copyMakeBorder(view, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(200, 200, 200))
        )
    strip = np.full((28, views[0].shape[1] * 2, 3), 255, np.uint8)
    cv2.putText(
        strip,
        f"{pair.name.rsplit('/', 1)[-1][-32:]}  {miss.what}",
        (6, 19),
        _FONT,
        0.5,
        (0, 0, 0),
        1,
        cv2.LINE_AA,
    )
    width = min(v.shape[1] for v in views)
    return np.asarray(
        np.vstack([strip[:, : 2 * width], np.hstack([v[:, :width] for v in views])]), np.uint8
    )


def _page(body: Mapping[str, Any], measured: Measured) -> str:
    s = measured.score
    lines = [
        "# Report",
        "",
        f"{s.images} pairs with {s.defects} defects, threshold {s.threshold:.2f}.",
        "",
        "| | |",
        "|---|---|",
        f"| mAP (DeepPCB's protocol) | {100 * s.pooled_ap:.2f} % |",
        (
            f"| F, precision, recall | {100 * s.f:.2f}, {100 * s.precision:.2f},"
            f" {100 * s.recall:.2f} % |"
        ),
        *(f"| AP {name} | {100 * value:.2f} % |" for name, value in s.class_ap.items()),
        "",
        "![precision over recall](precision-recall.png)",
        "",
        "![confusion](confusion.png)",
        "",
    ]
    if "near_duplicates" in body:
        duplicates, outliers = body["near_duplicates"], body["label_outliers"]
        lines += [
            (
                f"Near duplicates in the training set: {len(duplicates)}; labels that the model"
                f" disputes: {len(outliers)}. Both are listed in report.json."
            ),
            "",
        ]
        lines += [f"- `{row['pair']}` {row['what']}" for row in outliers[:20]] + [""]
    lines += ["Worst misses (green: truth, red: said):", ""]
    lines += [
        f"![{row['what']}](misses/{number:02d}.png)"
        for number, row in enumerate(body["worst_misses"])
    ]
    return "\n".join(lines) + "\n"
