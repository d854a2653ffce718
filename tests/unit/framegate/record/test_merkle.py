"""The tree over the record."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.receipt_verifier import leaf_hash, root_from_path
from framegate.record.merkle import Frontier, Tree, consistency_path, inclusion_path, subtree


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


def test_leaves_and_trees_that_are_not_there():
    tree = Tree([leaf_hash(b"one"), leaf_hash(b"two")])
    assert subtree(3, 3, tree.node) == Frontier().root
    for index, size in ((2, 2), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="leaf"):
            inclusion_path(index, size, tree.node)
    for first, second in ((0, 2), (3, 2)):
        with pytest.raises(ValueError, match="tree"):
            consistency_path(first, second, tree.node)
