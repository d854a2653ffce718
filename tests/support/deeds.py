"""Entries of people, as short as they can be said, and the rules over them."""

from framegate.behaviour.deed import Deed, Sites
from framegate.behaviour.rules import Limits
from framegate.behaviour.watch import BehaviourWatch

SITES = Sites((("10.1.0.0/16", "north"), ("10.2.0.0/16", "south")))
HOME = "10.1.1.0/24"


class Scene:
    """Deeds in order. Times in ms."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = []

    def __call__(self, at_ms: int, event: str, person: str = "anna", **given) -> "Scene":
        self.deeds.append(
            Deed(index=len(self.deeds), at_ms=at_ms, event=event, person=person, **given)
        )
        return self

    def findings(self, rule: str = "", limits: Limits | None = None, sites: Sites = SITES):
        watch = BehaviourWatch(limits, sites)
        every = [f for deed in self.deeds for f in watch.deed(deed)]
        return [f for f in every if not rule or f.rule == rule]

    def kinds(self, rule: str, **given) -> list[str]:
        return [f.kind for f in self.findings(rule, **given)]
