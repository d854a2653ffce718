"""Playbooks in force at a desk, and storms for them."""

import json

import pytest

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.playbooks.parse import parse_playbook
from framegate.record.entry import Act
from framegate_controller.fleet.devices import change_state
from framegate_controller.people.playbooks import disable_playbook, enable_playbook
from framegate_controller.people.policies import load_policy
from framegate_controller.people.requests import Word, decide
from framegate_controller.playbooks.engine import QUIET_MS, Engine
from framegate_controller.store.ports import EntryQuery
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_simulators.fixtures.access import add_person, camera_of
from framegate_simulators.fixtures.desk import desk_of

HOLD = """\
name = "hold-contradicted"
summary = "hold machines whose evidence contradicts their profile"
mode = "act"
do = ["quarantine", "notify"]
cooldown = "1h"

[when]
event = ["contradicted"]

[cap]
devices = 5
share = 100

[undo]
quarantine = "release"
notify = "none: what was told is known"
"""
UNDO = {
    "quarantine": "release",
    "freeze-zone": "thaw",
    "disable-operator": "enable",
    "roll-back-model": "promote",
}


def playbook_toml(
    name: str = "hold-contradicted",
    do: tuple[str, ...] = ("quarantine",),
    when: str = 'event = ["contradicted"]',
    **members: object,
) -> str:
    """A playbook's text; members are `mode`, `devices`, `share`, `cooldown`, `never`."""
    given = {"mode": "act", "devices": 5, "share": 100, "cooldown": "1h", **members}
    never = f"never = {json.dumps(given['never'])}\n" if "never" in given else ""
    undo = "".join(f'{a} = "{UNDO.get(a, "none: it is said in the guide")}"\n' for a in do)
    return (
        f'name = "{name}"\nsummary = "a test"\nmode = "{given["mode"]}"\n'
        f'do = {json.dumps(list(do))}\ncooldown = "{given["cooldown"]}"\n{never}'
        f"[when]\n{when}\n"
        f"[cap]\ndevices = {given['devices']}\nshare = {given['share']}\n[undo]\n{undo}"
    )


class Response:
    """A controller's desk and engine over a store whose clock the test moves."""

    def __init__(self, bench) -> None:
        self.bench, self.store, self.fleet, self.clock = (
            bench,
            bench.store,
            bench.fleet,
            bench.clock,
        )
        self.desk = desk_of(self.store, self.fleet)
        for name, role in (("anna", "security"), ("sven", "security"), ("vera", "viewer")):
            add_person(self.store, bench.keys, name, role)
        with self.store.writing() as tx:
            tx.settings.put("quorum", "2")
        self.engine = self.again()
        self.engine.look()

    def again(self) -> Engine:
        """As a process that was just started."""
        self.engine = Engine(self.desk)
        return self.engine

    def enable(self, text: str = HOLD, *approvers: str, by: str = "anna"):
        with self.store.writing() as tx:
            playbook = parse_playbook(text)
            kept = tx.playbooks.newest(playbook.name)
            tx.act = Act(actor=f"operator.{by}", approved_by=approvers or ("sven",))
            base = kept.revision if kept is not None else 0
            return enable_playbook(tx, self.fleet.keys, playbook, base=base, note="")

    def disable(self, name: str = "hold-contradicted"):
        with self.store.writing() as tx:
            tx.act = Act(actor="operator.anna")
            return disable_playbook(tx, self.fleet.keys, name, "a test")

    def cameras(self, count: int, zone: str = "line-1", state: State = State.TRUSTED) -> list[str]:
        """So many cameras of a zone, of which the record knows."""
        names = [f"{zone}-c{number}" for number in range(count)]
        with self.store.writing() as tx:
            for name in names:
                device = camera_of(name, State.STALE, zone=zone, since_ms=tx.now_ms)
                tx.devices.add(device)
                if state == State.TRUSTED:
                    change_state(tx, device, Edge.PROVED)
        return [f"camera.{zone}.{name}" for name in names]

    def contradict(self, *devices: str, together: bool = True) -> None:
        """Each of these shows evidence that contradicts its profile."""
        for batch in [devices] if together else [(d,) for d in devices]:
            with self.store.writing() as tx:
                for device in batch:
                    row = tx.devices.get(device)
                    assert row is not None
                    change_state(tx, row, Edge.CONTRADICTED, why="pcr-digest")

    def event(self, event, by: str = "controller") -> None:
        with self.store.writing() as tx:
            tx.record(event, by=by)

    def settle(self) -> None:
        """Look until a storm was asked for."""
        self.engine.look()
        self.clock.now += QUIET_MS
        for _ in range(3):
            self.engine.look()

    def decide(self, approve: bool = True, who: str = "sven") -> str:
        """Somebody answers the one request that waits."""
        (identifier,) = self.requests()
        with self.store.writing() as tx:
            asked = tx.requests.find(identifier)
            word = Word(
                approver=who,
                approve=approve,
                remark="looked",
                content_sha256=asked.content_sha256,
            )
            policy = load_policy(tx, self.fleet.keys, InMemoryPolicies())
            decide(tx, asked, word, policy)
        return identifier

    def requests(self) -> list[str]:
        with self.store.reading() as tx:
            return tx.playbooks.requests()

    def steps(self, *states: str):
        with self.store.reading() as tx:
            steps = tx.playbooks.history("", 0, 100_000)
        return [s for s in steps if not states or s.state in states]

    def states(self) -> list[str]:
        with self.store.reading() as tx:
            return [d.state.value for d in tx.devices.all()]

    def entries(self, event: str = "") -> list[dict]:
        with self.store.reading() as tx:
            stored = tx.log.entries(
                EntryQuery(event=event), first=0, below=tx.log.size(), most=100_000
            )
            return [json.loads(e.entry) for e in stored]


@pytest.fixture
def response(bench):
    return Response(bench)
