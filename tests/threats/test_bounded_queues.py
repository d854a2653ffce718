"""Queues without a bound (N146): what waits in a program's memory is as much as somebody else sends
faster than it is done. Every queue has a bound that has a name, or one that somebody else keeps.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("agent", "controller", "core")
QUEUES = ("Queue", "LifoQueue", "PriorityQueue")
ALWAYS_OPEN = ("SimpleQueue",)

KEPT_ELSEWHERE = {
    # which file has it: where its bound is kept, and by which name
    "agent/framegate_agent/camera/frame_queue.py": ("camera/stream.py", "QUEUE"),
    "agent/framegate_agent/signing.py": ("signing.py", "MAX_HANDSHAKES"),
    "controller/framegate_console/tries.py": ("tries.py", "COUNTED"),
    "controller/framegate_controller/rpc/in_batches.py": ("in_batches.py", "MOST_WAITING"),
    "controller/framegate_controller/store/engines.py": ("engines.py", "MOST_IDLE"),
    "controller/framegate_controller/store/shared/limits.py": ("limits.py", "MAX_FAILURES"),
    "controller/framegate_controller/store/shared/tries.py": ("tries.py", "TICKET_TRIES"),
    "controller/framegate_gateway/inference/engine.py": ("engine.py", "DEPTH"),
    "controller/framegate_gateway/inference/turns.py": ("budget.py", "MAX_IN_FLIGHT"),
    "controller/framegate_gateway/receipts/store.py": ("store.py", "MAX_WAITING"),
    "core/framegate/behaviour/agreeing.py": ("agreeing.py", "MAX_APPROVALS"),
    "core/framegate/behaviour/windows.py": ("windows.py", "limit.least"),
}


def unbounded(text: str) -> list[str]:
    """Queues that `text` makes without a bound that has a name, as they stand there."""
    found: list[str] = []
    if "Queue(" not in text and "deque(" not in text:
        return found
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        bounds = [*node.args, *(k.value for k in node.keywords if k.arg in {"maxsize", "maxlen"})]
        if name == "deque":
            bounds = [k.value for k in node.keywords if k.arg == "maxlen"] or node.args[1:]
        elif name not in QUEUES + ALWAYS_OPEN:
            continue
        if name in ALWAYS_OPEN or not bounds or isinstance(bounds[0], ast.Constant):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize(
    ("text", "open_ones"),
    [
        ("q = asyncio.Queue()", 1),
        ("q = queue.Queue(0)", 1),
        ("q = asyncio.Queue(256)", 1),
        ("q = SimpleQueue()", 1),
        ("q = deque()", 1),
        ("q = deque(rows)", 1),
        ("q = deque(maxlen=None)", 1),
        ("q: asyncio.Queue[bytes] = asyncio.Queue(WAITING)", 0),
        ("q = queue.Queue(maxsize=2 * MOST)", 0),
        ("q = deque(rows, maxlen=KEPT)", 0),
        ("q = deque(rows, KEPT)", 0),
        ("q = queue_of(rows)", 0),
    ],
)
def test_n146_what_is_a_queue_without_a_bound(text, open_ones):
    assert len(unbounded(text)) == open_ones


def test_n146_every_queue_has_a_bound_that_has_a_name():
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 400
    found = {str(path.relative_to(ROOT)): unbounded(path.read_text()) for path in files}
    assert {name for name, queues in found.items() if queues} == set(KEPT_ELSEWHERE)


@pytest.mark.parametrize("name", KEPT_ELSEWHERE)
def test_n146_a_bound_that_is_kept_elsewhere_is_kept_there(name):
    place, bound = KEPT_ELSEWHERE[name]
    package = ROOT / Path(*Path(name).parts[:2])
    places = [path for path in package.rglob("*.py") if str(path).endswith(f"/{place}")]
    assert any(
        bound in line and any(sign in line for sign in (">=", ">", "<", "maxlen"))
        for path in places
        for line in path.read_text().splitlines()
    )
