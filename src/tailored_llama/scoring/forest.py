"""Which tokens are computed once: sequences that begin alike, packed into rows as forests.

A row holds several sequences. What a sequence shares with the one before it is not written again: it
branches off, as in a trie, and its tokens see only their own branch back to the root. What all sequences of
a forest share (a few-shot prefix) stands before every row and is computed once for all of them. Nothing
here computes: plans are of token ids alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Ids = tuple[int, ...]

# Tokens of a row. The attention of a row is computed between all its tokens, related or not, so longer rows
# waste more of it; shorter ones share less.
ROW_TOKENS = 512
# Tokens that many sequences have to share before they are worth a cache of their own.
PREFIX_TOKENS = 32


class Row:
    """Sequences as branches: token `ids`, their `positions`, and for every sequence the `path` of its tokens.

    Positions begin at `start`, the length of what stands before the row; paths index the row's own tokens.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.paths: dict[Ids, list[int]] = {}
        self._last: Ids = ()

    def add(self, sequence: Ids) -> None:
        """Write what `sequence` does not share with the one before."""
        common = self._written(sequence)
        trunk = self.paths[self._last][: common - self.start] if self.paths else []
        self.paths[sequence] = trunk + list(range(len(self.ids), self.length_with(sequence)))
        self.positions += range(common, len(sequence))
        self.ids += sequence[common:]
        self._last = sequence

    def length_with(self, sequence: Ids) -> int:
        """Tokens of the row once `sequence` is added."""
        return len(self.ids) + len(sequence) - self._written(sequence)

    def _written(self, sequence: Ids) -> int:
        """Tokens of `sequence` that stand in the row or before it."""
        return max(self.start, shared(self._last, sequence))

    @property
    def branches(self) -> bool:
        """Whether the row is more than one sequence written down."""
        return len(self.paths) > 1


@dataclass(frozen=True)
class Forest:
    """`rows` that all stand behind one `prefix`, which may be empty."""

    prefix: Ids
    rows: list[Row]


def plant(firsts: dict[Ids, int]) -> list[Forest]:
    """Forests of the sequences in `firsts`, which names for each the first token whose prediction is read.

    Many sequences that begin with the same PREFIX_TOKENS or more stand behind what they share; all others
    are rows without prefix, of branches or of one sequence each.
    """
    forests, loose = [], []
    for cluster in _clusters(sorted(firsts)):
        common = shared(cluster[0], cluster[-1])  # in sorted order the ends share least
        common = min(common, *(firsts[sequence] for sequence in cluster))
        if common >= PREFIX_TOKENS and _size(cluster, 0) > ROW_TOKENS:
            forests.append(Forest(cluster[0][:common], _rows(cluster, common)))
        else:
            loose += cluster
    trees = list(_trees(loose, 0))
    # What shares nothing is read as plain rows, whose attention is cheaper than a forest's.
    forests += apart({tree[0]: 0 for tree in trees if len(tree) == 1})
    forests.append(Forest((), _rows([sequence for tree in trees if len(tree) > 1 for sequence in tree], 0)))
    return [forest for forest in forests if forest.rows]


def apart(firsts: dict[Ids, int]) -> list[Forest]:
    """Every sequence in a row of its own, the longest first: for models that cannot branch."""
    rows = []
    for sequence in sorted(firsts, key=len, reverse=True):
        row = Row()
        row.add(sequence)
        rows.append(row)
    return [Forest((), rows)]


def shared(one: Ids, other: Ids) -> int:
    """Number of tokens that two sequences begin with alike."""
    # By halves, because comparing slices is fast and comparing tokens one by one is not.
    lengths = range(1, min(len(one), len(other)) + 1)
    return bisect_left(lengths, True, key=lambda length: one[:length] != other[:length])


def _clusters(ordered: Sequence[Ids]) -> Iterator[list[Ids]]:
    """Runs of sorted sequences whose first PREFIX_TOKENS are the same."""
    run: list[Ids] = []
    for sequence in ordered:
        if run and sequence[:PREFIX_TOKENS] != run[0][:PREFIX_TOKENS]:
            yield run
            run = []
        run.append(sequence)
    if run:
        yield run


def _rows(ordered: Sequence[Ids], start: int) -> list[Row]:
    """Rows of about ROW_TOKENS, the longest first; the branches of one tree stay together where they can."""
    rows: list[Row] = []
    for tree in _trees(ordered, start):
        if not rows or len(rows[-1].ids) + _size(tree, start) > ROW_TOKENS:
            rows.append(Row(start))
        # A tree is larger than a row where its trunk is; it is split once its trunk is the smaller part.
        limit = max(ROW_TOKENS, 2 * max(map(len, tree)))
        for sequence in tree:
            if rows[-1].ids and rows[-1].length_with(sequence) > limit:
                rows.append(Row(start))
            rows[-1].add(sequence)
    return sorted(rows, key=lambda row: -len(row.ids))


def _trees(ordered: Sequence[Ids], start: int) -> Iterator[list[Ids]]:
    """Runs of sorted sequences of which neighbours share a quarter or more of what comes after `start`."""
    if not ordered:
        return
    tree = list(ordered[:1])
    for one, other in pairwise(ordered):
        if 4 * (shared(one, other) - start) < min(len(one), len(other)) - start:
            yield tree
            tree = []
        tree.append(other)
    yield tree


def _size(tree: Sequence[Ids], start: int) -> int:
    """Tokens of sorted sequences after `start`, shared ones counted once."""
    own = sum(len(other) - max(start, shared(one, other)) for one, other in pairwise(tree))
    return len(tree[0]) - start + own
