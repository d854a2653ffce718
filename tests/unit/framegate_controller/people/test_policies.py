"""Policies in the controller's store: versions, rights that stay, signatures that outlive their
key.
"""

import time
from dataclasses import replace

from framegate.access.policy_statement import PolicyStatement
from framegate.access.verbs import Scoped
from framegate.errors import Reason
from framegate.identity.certificates import from_ms
from framegate.record.entry import Act
from framegate_controller.people.operators import NewOperator, add_operator
from framegate_controller.people.policies import apply_policy
from framegate_simulators.fixtures.access import add_person, signed_policy
from support.access import policy_files
from support.refusals import refused

ERASE = '@id("more") forbid (principal, action == Action::"data.erase", resource);'


def put(bench, texts, base: int) -> int:
    with bench.store.writing() as tx:
        tx.act = Act(actor="operator.sara")
        return apply_policy(tx, bench.keys, texts, base=base, note="").version


def in_force(bench) -> int:
    with bench.store.reading() as tx:
        return tx.policies.current().version


def test_versions_only_rise_and_nobody_overwrites_anothers(bench):
    assert put(bench, policy_files(more=ERASE), 1) == 2
    assert refused(lambda: put(bench, policy_files(other=ERASE), 1)) == Reason.CONFLICT
    assert (
        refused(lambda: put(bench, policy_files(more=ERASE), 2)) == Reason.CONFLICT
    )  # the same again
    assert (
        put(bench, policy_files(), 2) == 3
    )  # what was once in force comes back under a new number
    assert in_force(bench) == 3
    with bench.store.reading() as tx:
        assert len(tx.policies.history(10)) == 3


def test_a_policy_that_lets_nobody_change_it_again_is_refused(bench):
    add_person(bench.store, bench.keys, "sara", "security")
    texts = policy_files()
    texts["operators.cedar"] = '@id("all") permit (principal, action in Action::"view", resource);'
    assert refused(lambda: put(bench, texts, 1)) == Reason.POLICY_INVALID
    with bench.store.writing() as tx:
        tx.people.put(replace(tx.people.find("sara"), roles=(Scoped("viewer"),)))
    assert refused(lambda: put(bench, policy_files(more=ERASE), 1)) == Reason.POLICY_INVALID
    with bench.store.writing() as tx:
        add_operator(tx, NewOperator(name="new", roles=(), vouched=True), by="t")
    assert in_force(bench) == 1


def test_a_policy_stays_in_force_after_its_keys_certificate_ended(keys):
    """What it says is fixed by version and signature; a plant does not stop because nobody
    changed its policy for two years.
    """
    statement, _ = PolicyStatement.verify(
        signed_policy(keys), (), keys.root.certificate, from_ms(time.time_ns() // 1_000_000)
    )
    assert statement.version == 1
