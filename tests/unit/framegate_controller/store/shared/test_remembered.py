"""What a process remembers, and how much of it."""

import threading
from dataclasses import replace

from framegate.registry.zone import KeptDecision
from framegate_controller.store.shared.ceremonies import InMemoryWaiting
from framegate_controller.store.shared.looks import MAX_LOOKS, QUIET_MS, InMemoryLooks, Look
from framegate_controller.store.shared.policies import MAX_POLICIES, InMemoryPolicies


def test_looks_are_of_one_session_verb_and_zone():
    looks = InMemoryLooks()
    look = Look(b"s", "device.list", "*")
    assert looks.due(look, 10**13) and not looks.due(look, 10**13 + QUIET_MS - 1)
    for other in (
        replace(look, session=b"t"),
        replace(look, verb="x"),
        replace(look, zone="line-1"),
    ):
        assert looks.due(other, 10**13)
    assert looks.due(look, 10**13 + QUIET_MS)


def test_looks_are_bounded_and_forgetting_only_writes_more():
    looks = InMemoryLooks()
    decision = KeptDecision(
        sha256=b"",
        request="{}",
        allow=True,
        policies=(),
        policy_version=1,
        first_ms=1,
        last_ms=1,
        count=1,
    )
    for n in range(2 * MAX_LOOKS):
        assert looks.due(Look(n.to_bytes(4, "big"), "v", "*"), 10**13)
        assert looks.count(replace(decision, sha256=n.to_bytes(4, "big"))) is not None
    assert max(len(looks._noted), len(looks._counted)) <= MAX_LOOKS + 1


def test_policies_are_remembered_up_to_a_few():
    policies = InMemoryPolicies()
    for n in range(3 * MAX_POLICIES):
        policies.keep(bytes([n]), object())
    assert (
        policies.get(bytes([0])) is None and policies.get(bytes([3 * MAX_POLICIES - 1])) is not None
    )


def test_what_waits_is_taken_by_one_of_two():
    waiting = InMemoryWaiting[str](2)
    for name in (b"a", b"b", b"c"):
        waiting.keep(name, name.decode())
    assert waiting.get(b"a") is None and waiting.get(b"b") == "b"  # the oldest made way
    waiting.keep(b"b", "again")
    assert waiting.get(b"c") == "c"  # what became of one pushes nobody out
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(waiting.take(b"b"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, got)) == ["None"] * 7 + ["again"]
