"""The tree over the record."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.merkle import Frontier, Tree


@given(st.integers(1, 200), st.data())
def test_trees_agree_and_a_wrong_place_does_not(size, data):
    leaves = [leaf_hash(n.to_bytes(2, "big")) for n in range(size)]
    frontier, tree = Frontier(), Tree(leaves)
    for leaf in leaves:
        frontier.append(leaf)
    assert frontier.root == tree.root
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    path = tree.path(index)
    assert root_from_path(leaves[index], index, size, path) == tree.root
    if other != index:
        with contextlib.suppress(ValueError):
            assert root_from_path(leaves[index], other, size, path) != tree.root
