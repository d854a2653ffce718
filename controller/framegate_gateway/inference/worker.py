"""The inference child: decodes hostile images and runs the model, without keys, files or network.

It speaks length-prefixed messages on the one socket it inherits: a JSON head and a body. It gets model and golden images as bytes, so it
needs no file system; before the first frame it gives up the right to open anything.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import socket
import struct
import sys
from typing import Any, Final

from framegate_gateway.inference.image_header import image_size

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
MEMORY_BYTES: Final = 8 * 1024**3
"""Address space: some ten times what the default model needs on its largest frame; a runaway decoder ends here, not the host."""


COVERED: Final = 0.2
"""A frame whose grey values spread by less than this share of the golden image's shows nothing of the part (N109)."""


NOT_BLACK: Final = 12.0
"""Mean grey of regions that are masked: JPEG leaves a little noise in black."""


class Unmasked(ValueError):
    """A frame whose masks are not on it."""


class CoveredLens(ValueError):
    """A frame that shows nothing."""


def confine() -> str:
    """Leave the network namespace where the kernel allows, never gain rights, be no use to a debugger; says in words what held."""
    libc, held = ctypes.CDLL(None, use_errno=True), []
    if libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        held.append("no network")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        held.append("no new privileges")
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        held.append("not dumpable")
    return ", ".join(held)


def close_the_door() -> str:
    """From here on no file, socket or pipe can be opened."""
    # a new descriptor takes the lowest free number: with the limit there, none can be made, and those above stay usable
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        socket.socket().close()
    except OSError:
        return "opens nothing"
    return ""


def main() -> None:
    """Serve one parent until it goes away."""
    held = [confine()]
    pipe = socket.socket(fileno=int(sys.argv[1]))
    threads = int(sys.argv[2])
    import cv2
    import numpy as np
    import onnxruntime as ort

    from framegate_gateway.inference import pictures
    from framegate_gateway.inference.detections import detections_from_maps

    cv2.setNumThreads(1)
    head, model = receive(pipe)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other work shares the cores
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    threshold, classes, multiple = head["threshold"], head["classes"], head["multiple_px"]
    size = multiple * 4
    session.run(["heat", "geometry"], {"pair": np.zeros((1, 2, size, size), np.float32)})  # threads start before the door closes
    cv2.imdecode(cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1], cv2.IMREAD_GRAYSCALE)
    held.append(close_the_door())
    send(pipe, {"ready": True, "isolation": ", ".join(h for h in held if h)}, b"")
    golden: dict[str, Any] = {}

    def decode(data: bytes, encoding: int, claimed: tuple[int, int] | None) -> Any:
        found = image_size(data, encoding)
        if claimed is not None and found != claimed:
            raise ValueError(f"image of {claimed[0]}x{claimed[1]} announced, {found[0]}x{found[1]} came")
        if found[0] * found[1] > head["max_pixels"]:
            raise ValueError(f"{found[0]}x{found[1]} pixels")
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape[::-1] != found:
            raise ValueError("an image that does not decode")
        return image

    def under_masks(frame: Any, reference: Any, polygons: Any) -> Any:
        """The golden image blanked like the frame, whose masked regions must be black: a camera that only says so is caught here."""
        h, w = frame.shape
        region = np.zeros((h, w), np.uint8)
        for polygon in polygons:
            cv2.fillPoly(region, [(np.array(polygon) * (w, h) * 16).round().astype(np.int32)], 255, shift=4)
        inside = cv2.erode(region, np.ones((9, 9), np.uint8))  # JPEG smears the edge
        if float(cv2.mean(frame, inside)[0]) > NOT_BLACK:
            raise Unmasked("masked regions are announced and not black")
        return cv2.bitwise_and(reference, cv2.bitwise_not(region))

    def inspect(request: dict[str, Any], body: bytes) -> dict[str, Any]:
        for old in request["forget"]:
            golden.pop(old, None)
        part_type, split = request["part_type"], request["golden_bytes"]
        if split:
            golden[part_type] = decode(body[:split], 1 if body[:2] == b"\xff\xd8" else 2, None)
        frame = decode(body[split:], request["encoding"], (request["width"], request["height"]))
        reference = golden[part_type]
        if frame.shape != reference.shape:
            raise ValueError(f"frame {frame.shape[1]}x{frame.shape[0]}, golden image {reference.shape[1]}x{reference.shape[0]}")
        if request["masks"]:
            reference = under_masks(frame, reference, request["masks"])
        spread, wanted = float(cv2.meanStdDev(frame)[1][0, 0]), float(cv2.meanStdDev(reference)[1][0, 0])
        if spread < COVERED * wanted:
            raise CoveredLens(f"grey values spread by {spread:.1f}, those of the golden image by {wanted:.1f}: is the lens covered, the light off?")
        h, w = frame.shape
        pair = np.empty((1, 2, -(-h // multiple) * multiple, -(-w // multiple) * multiple), np.float32)
        if pair.shape[2:] != frame.shape:
            pair[:] = 1.0
        np.multiply(frame, 1 / 255, out=pair[0, 0, :h, :w], casting="unsafe")
        np.multiply(reference, 1 / 255, out=pair[0, 1, :h, :w], casting="unsafe")
        heat, geometry = session.run(["heat", "geometry"], {"pair": pair})
        if not (np.isfinite(heat).all() and np.isfinite(geometry).all()):
            raise ArithmeticError("the model gave no numbers")
        found = detections_from_maps(heat[0], geometry[0], threshold)
        defects = [
            {"kind": classes[int(c)], "score": round(float(s), 4), "box": [round(float(v), 1) for v in b]} for b, c, s in zip(found.boxes, found.classes, found.scores, strict=True)
        ]
        return {"golden_taken": True, "defects": defects}

    def drawn(request: dict[str, Any], body: bytes) -> bytes:
        split = request.get("golden_bytes", 0)
        frame = decode(body[split:], request["encoding"], None)
        if request["kind"] == "marked":
            picture = pictures.marked(frame, request["lines"])
        elif request["kind"] == "card":
            reference = decode(body[:split], 1 if body[:2] == b"\xff\xd8" else 2, None) if split else None
            picture = pictures.card(frame, reference, request["defects"], request["outcome"], request["lines"])
        else:
            picture = pictures.boxes(frame, request["defects"])
        return bytes(cv2.imencode(".png", picture)[1].tobytes())

    while True:
        try:
            request, body = receive(pipe)
        except (EOFError, ConnectionError):
            return
        try:
            if request["kind"] != "inspect":
                send(pipe, {"id": request["id"]}, drawn(request, body))
            else:
                send(pipe, {"id": request["id"], **inspect(request, body)}, b"")
        except Unmasked as error:
            send(pipe, {"id": request["id"], "golden_taken": True, "failed": "mask", "why": str(error)}, b"")
        except CoveredLens as error:
            send(pipe, {"id": request["id"], "golden_taken": True, "failed": "covered", "why": str(error)}, b"")
        except ArithmeticError as error:
            send(pipe, {"id": request["id"], "failed": "inference", "why": str(error)}, b"")
        except Exception as error:  # noqa: BLE001 - whatever a hostile image does to a decoder, this frame fails and the next is served
            taken = request.get("part_type") in golden
            send(pipe, {"id": request["id"], "golden_taken": taken, "failed": "image", "why": f"{type(error).__name__}: {error}"[:300]}, b"")


def send(pipe: socket.socket, head: dict[str, Any], body: bytes) -> None:
    """One message: 32-bit sizes of head and body, head, body."""
    raw = json.dumps(head).encode()
    pipe.sendall(struct.pack(">II", len(raw), len(body)) + raw)
    if body:
        pipe.sendall(body)


def receive(pipe: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError at the end."""
    head_size, body_size = struct.unpack(">II", _exactly(pipe, 8))
    head = json.loads(_exactly(pipe, head_size))
    return head, _exactly(pipe, body_size)


def _exactly(pipe: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        got = pipe.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return bytes(buffer)


if __name__ == "__main__":
    main()
