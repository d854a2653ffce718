"""Merkle trees as RFC 9162 hashes them: append, root, inclusion path, consistency path.
Verification stands in `receipt_verifier`.

One shape serves three uses: a camera's frames of a session, a gateway's receipts of a batch, and
the controller's log, whose nodes live in its database. So paths are computed from a function that
gives the hash of a complete subtree, wherever that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from framegate.receipt_verifier import leaf_hash, node_hash

Node = Callable[[int, int], bytes]
"""(level, index) to the hash of the complete subtree over leaves [index * 2**level, (index + 1) *
2**level).
"""

EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""Root of a tree without leaves: SHA-256 of nothing."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """The root of a complete subtree: over leaves [index * 2**level, (index + 1) * 2**level)."""

    level: int
    index: int
    hash: bytes


class Frontier:
    """A tree that only grows: 32 bytes for each bit of its size, whatever its size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> list[TreeNode]:
        """Add a leaf by its hash; returns the complete nodes that came to be, the leaf first."""
        node = TreeNode(0, self.size, leaf)
        completed = [node]
        while self._peaks and self._peaks[-1][0] == node.level:
            joined = node_hash(self._peaks.pop()[1], node.hash)
            node = TreeNode(node.level + 1, node.index >> 1, joined)
            completed.append(node)
        self._peaks.append((node.level, node.hash))
        self.size += 1
        return completed

    def append_subtree(self, level: int, root: bytes) -> None:
        """Add a complete subtree over the next 2**`level` leaves by its root; the size must be a
        multiple of that.
        """
        peak, at = root, level
        while self._peaks and self._peaks[-1][0] == at:
            peak = node_hash(self._peaks.pop()[1], peak)
            at += 1
        self._peaks.append((at, peak))
        self.size += 1 << level

    def copy(self) -> Frontier:
        """A frontier that grows on its own."""
        frontier = Frontier()
        frontier.size, frontier._peaks = self.size, list(self._peaks)
        return frontier

    @classmethod
    def resume(cls, size: int, node: Node) -> Frontier:
        """The frontier of a tree whose complete nodes are kept elsewhere."""
        frontier = cls()
        frontier.size, at = size, 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                frontier._peaks.append((level, node(level, at >> level)))
                at += 1 << level
        return frontier

    @property
    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


class Tree:
    """A tree in memory, over leaf hashes in order."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels: list[list[bytes]] = [list(leaves)]
        self.size = len(leaves)
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append(
                [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            )

    def node(self, level: int, index: int) -> bytes:
        """See `Node`."""
        return self._levels[level][index]

    @property
    def root(self) -> bytes:
        """The root; that of nothing where there are no leaves."""
        return subtree(0, self.size, self.node)

    def path(self, index: int) -> list[bytes]:
        """Inclusion path of leaf `index`."""
        return inclusion_path(index, self.size, self.node)


def packed_tree(leaves: bytes) -> Tree:
    """The tree over leaf hashes that stand one behind the other, 32 bytes each."""
    return Tree([leaves[i : i + 32] for i in range(0, len(leaves), 32)])


def data_tree(items: Sequence[bytes]) -> Tree:
    """The tree over `items` themselves."""
    return Tree([leaf_hash(item) for item in items])


def subtree(first: int, end: int, node: Node) -> bytes:
    """Hash over leaves [first, end): MTH of RFC 9162, 2.1.1. `first` must be a multiple of the
    largest power of two below the width.
    """
    width = end - first
    if width <= 0:
        return EMPTY_ROOT
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, first >> level)
    split = 1 << (width - 1).bit_length() - 1
    return node_hash(subtree(first, first + split, node), subtree(first + split, end, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """PATH(index, D[size]) of RFC 9162, 2.1.3.1. Raises ValueError where the leaf is not in the
    tree.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} of a tree of {size}")

    def path(at: int, first: int, end: int) -> list[bytes]:
        width = end - first
        if width == 1:
            return []
        split = 1 << (width - 1).bit_length() - 1
        if at < split:
            return [*path(at, first, first + split), subtree(first + split, end, node)]
        return [*path(at - split, first + split, end), subtree(first, first + split, node)]

    return path(index, 0, size)


def consistency_path(first: int, second: int, node: Node) -> list[bytes]:
    """PROOF(first, D[second]) of RFC 9162, 2.1.4.1: that the tree of `second` leaves is that of
    `first` grown. Raises ValueError unless 0 < first <= second.
    """
    if not 0 < first <= second:
        raise ValueError(f"a tree of {first} in one of {second}")

    def proof(at: int, begin: int, end: int, *, whole: bool) -> list[bytes]:
        width = end - begin
        if at == width:
            return [] if whole else [subtree(begin, end, node)]
        split = 1 << (width - 1).bit_length() - 1
        if at <= split:
            return [
                *proof(at, begin, begin + split, whole=whole),
                subtree(begin + split, end, node),
            ]
        return [
            *proof(at - split, begin + split, end, whole=False),
            subtree(begin, begin + split, node),
        ]

    return proof(first, 0, second, whole=True)
