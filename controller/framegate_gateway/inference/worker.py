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
from collections import OrderedDict
from typing import Any, Final

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
MEMORY_BYTES: Final = 8 * 1024**3
"""Address space: some ten times what the default model needs on its largest frame; a runaway decoder ends here, not the host."""


MAX_AWAY: Final = 256
"""Frames whose tensors are with a model server: more than a gateway has in flight; a frame the server never answered is forgotten."""
NOT_BLACK: Final = 12.0
"""Mean grey of regions that are masked: JPEG leaves a little noise in black."""


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
    """Serve one parent until it goes away. A model that is refused is answered by {"failed": reason, "why"} and the end."""
    held = [confine()]
    pipe = socket.socket(fileno=int(sys.argv[1]))
    threads = int(sys.argv[2])
    import cv2

    from framegate.errors import FramegateError
    from framegate_gateway.inference import inspector as inspection

    cv2.setNumThreads(1)
    head, body = receive(pipe)
    try:
        service = Service(*_loaded(head, body, threads))
        asked = 0 if head["elsewhere"] else inspection.verify_known_answers(service.inspector, service.known)
    except FramegateError as error:
        send(pipe, {"failed": error.reason.value, "why": _why(error)}, b"")
        return
    held.append(close_the_door())
    send(pipe, {"ready": True, "isolation": ", ".join(h for h in held if h), "known_answers": asked}, b"")
    while True:
        try:
            request, body = receive(pipe)
        except (EOFError, ConnectionError):
            return
        try:
            answer, picture = service.answer(request, body)
        except FramegateError as error:
            answer, picture = {"failed": error.reason.value, "why": _why(error)}, b""
        except Exception as error:  # noqa: BLE001 - whatever a hostile image does to a decoder, this frame fails and the next is served
            answer, picture = {"failed": "image", "why": f"{type(error).__name__}: {error}"[:300]}, b""
        send(pipe, {"id": request["id"], "golden_taken": request.get("part_type") in service.goldens, **answer}, picture)


def _why(error: Any) -> str:
    failure = error.failures[0]
    return f"{failure.actual} where {failure.expected} was expected"[:300]


def _loaded(head: dict[str, Any], body: bytes, threads: int) -> tuple[Any, Any]:
    """The inspector and its known answers out of the first message: recipe and file sizes in the head, the files in the body.

    The graph is looked at before the runtime sees it; the threads and decoders that are needed later start here, before the door closes.
    """
    import cv2
    import numpy as np

    from framegate.signed.part import MIN_LESSON

    # every module the service will need is imported here: behind the closed door no file can be read
    from framegate_gateway.inference import learning, pictures, rules  # noqa: F401
    from framegate_gateway.inference.bundle import parse_bundle
    from framegate_gateway.inference.graph import verify_graph
    from framegate_gateway.inference.inspector import Inspector, new_session, runner

    files, at = {}, 0
    for name, size in head["files"]:
        files[name] = body[at : at + size]
        at += size
    bundle = parse_bundle(files)
    verify_graph(bundle.model, len(bundle.recipe.classes))
    found = Inspector(bundle.recipe, None if head["elsewhere"] else runner(new_session(bundle.model, threads)))
    if not head["elsewhere"]:
        side = bundle.recipe.multiple_px * 4
        found.maps(np.zeros((1, 2, side, side), np.float32))
    learning.learn_golden([bytes(cv2.imencode(".png", np.eye(64, dtype=np.uint8) * 255)[1])] * MIN_LESSON)  # numpy imports parts of itself on first use
    for kind in (".jpg", ".png"):
        cv2.imdecode(cv2.imencode(kind, np.zeros((8, 8), np.uint8))[1], cv2.IMREAD_GRAYSCALE)
    return found, bundle.known


class Service:
    """What the child does once its door is closed: one request, one answer."""

    def __init__(self, inspector: Any, known: Any) -> None:
        self.inspector, self.known = inspector, known
        self.goldens: dict[str, list[Any]] = {}
        self._prepared: OrderedDict[int, tuple[Any, ...]] = OrderedDict()

    def answer(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """(answer, picture) to a request of kind inspect, known, learn, marked, card or picture. Raises FramegateError."""
        if request["kind"] == "inspect":
            which, prepared, size = self._prepare(request, body)
            return self._defects(self.inspector.maps(prepared.pair), request["rules"], size) | {"golden": which}, b""
        if request["kind"] == "prepare":
            which, prepared, size = self._prepare(request, body)
            self._prepared[request["id"]] = (request["rules"], size, prepared.pair.shape)
            if len(self._prepared) > MAX_AWAY:
                self._prepared.popitem(last=False)
            return {"golden": which, "shape": list(prepared.pair.shape)}, prepared.pair.tobytes()
        if request["kind"] == "finish":
            rules, size, shape = self._prepared.pop(request["of"])
            return self._defects(self.inspector.checked(shape, *_tensors(request["shapes"], body)), rules, size), b""
        if request["kind"] in {"known-pair", "known-check"}:
            return self._known(request, body)
        if request["kind"] == "known":
            from framegate_gateway.inference.inspector import verify_known_answers

            return {"known_answers": verify_known_answers(self.inspector, self.known)}, b""
        if request["kind"] == "learn":
            from framegate_gateway.inference.learning import learn_golden

            learned, facts = learn_golden(_split(body, request["sizes"]))
            return facts, learned
        return {}, self._drawn(request, body)

    def _prepare(self, request: dict[str, Any], body: bytes) -> tuple[int, Any, tuple[int, int]]:
        from framegate_gateway.inference.decoding import decode_gray
        from framegate_gateway.inference.inspector import apply_masks, golden_of

        for old in request["forget"]:
            self.goldens.pop(old, None)
        part_type, sizes = request["part_type"], request["golden_bytes"]
        if sizes:
            self.goldens[part_type] = [golden_of(decode_gray(g)) for g in _split(body, sizes)]
        frame = decode_gray(body[sum(sizes) :], request["encoding"], (request["width"], request["height"]))
        goldens = self.goldens[part_type]
        if request["masks"]:
            goldens = [apply_masks(frame, g, request["masks"], NOT_BLACK) for g in goldens]
        which, prepared = self.inspector.prepare_best(frame, goldens)
        return which, prepared, frame.shape

    def _known(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """One known answer, whose network runs elsewhere: its pair to send, or what came back to check."""
        from framegate_gateway.inference.inspector import known_pair, verify_known_answer

        answer = self.known[request["number"]]
        pair = known_pair(self.inspector, answer)
        if request["kind"] == "known-pair":
            return {"shape": list(pair.shape)}, pair.tobytes()
        heat, geometry = self.inspector.checked(pair.shape, *_tensors(request["shapes"], body))
        verify_known_answer(self.inspector, answer, self.inspector.detections(heat[0], geometry[0]))
        return {"known_answers": 1}, b""

    def _defects(self, maps: Any, rules: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
        from framegate_gateway.inference.rules import apply_rules, least_threshold

        found, recipe, (heat, geometry) = self.inspector, self.inspector.recipe, maps
        boxes = found.detections(heat[0], geometry[0], least_threshold(rules, recipe.classes, recipe.threshold))
        boxes = apply_rules(boxes, rules, recipe.classes, recipe.threshold, size)
        defects = [
            {"kind": recipe.classes[int(c)], "score": round(float(s), 4), "box": [round(float(v), 1) for v in b]}
            for b, c, s in zip(boxes.boxes, boxes.classes, boxes.scores, strict=True)
        ]
        return {"defects": defects}

    def _drawn(self, request: dict[str, Any], body: bytes) -> bytes:
        import cv2

        from framegate_gateway.inference import pictures
        from framegate_gateway.inference.decoding import decode_gray

        split = request.get("golden_size", 0)
        frame = decode_gray(body[split:], request["encoding"])
        if request["kind"] == "marked":
            picture = pictures.marked(frame, request["lines"])
        elif request["kind"] == "card":
            golden = decode_gray(body[:split]) if split else None
            picture = pictures.card(frame, golden, request["defects"], request["outcome"], request["lines"])
        else:
            picture = pictures.boxes(frame, request["defects"])
        return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _tensors(shapes: list[list[int]], body: bytes) -> list[Any]:
    import numpy as np

    parts = _split(body, [4 * int(np.prod(shape)) for shape in shapes])
    return [np.frombuffer(part, np.float32).reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _split(body: bytes, sizes: list[int]) -> list[bytes]:
    parts, at = [], 0
    for size in sizes:
        parts.append(body[at : at + size])
        at += size
    return parts


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
