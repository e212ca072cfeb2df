"""Packing of sequences with common prefixes, so that shared tokens are computed once.

A row contains several sequences as a trie: a sequence that shares a prefix with the previous one branches off
from it, and its tokens attend only to their own branch. A prefix that all sequences of a forest share
(few-shot examples) is stored before the rows and computed once. This module only arranges token ids; it
computes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Ids = tuple[int, ...]

# Tokens of a row. Attention is computed between all tokens of a row, so longer rows waste more of it; shorter
# rows share less.
ROW_TOKENS = 512
# Minimum length of a common prefix that gets its own key-value cache.
PREFIX_TOKENS = 32


class Row:
    """Sequences as branches: token `ids`, their `positions`, and for every sequence the `path` of its tokens.

    Positions begin at `start`, the length of the prefix; paths are indices into the row.
    """

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.paths: dict[Ids, list[int]] = {}
        self._last: Ids = ()

    def add(self, sequence: Ids) -> None:
        """Append the tokens that `sequence` does not share with the previous one."""
        common = self._written(sequence)
        trunk = self.paths[self._last][: common - self.start] if self.paths else []
        self.paths[sequence] = trunk + list(range(len(self.ids), self.length_with(sequence)))
        self.positions += range(common, len(sequence))
        self.ids += sequence[common:]
        self._last = sequence

    def length_with(self, sequence: Ids) -> int:
        """Number of tokens of the row after `sequence` is added."""
        return len(self.ids) + len(sequence) - self._written(sequence)

    def _written(self, sequence: Ids) -> int:
        """Number of tokens of `sequence` that are already in the prefix or the row."""
        return max(self.start, shared(self._last, sequence))

    @property
    def branches(self) -> bool:
        """Whether the row contains more than one sequence."""
        return len(self.paths) > 1


@dataclass(frozen=True)
class Forest:
    """`rows` with a common `prefix`, which may be empty."""

    prefix: Ids
    rows: list[Row]


def plant(firsts: dict[Ids, int]) -> list[Forest]:
    """Arrange the sequences in `firsts` as forests; `firsts` gives for each the first token whose prediction
    is read.

    Several sequences that share PREFIX_TOKENS tokens or more form a forest with that prefix. All others are
    in rows without a prefix, with or without branches.
    """
    forests, loose = [], []
    for cluster in _clusters(sorted(firsts)):
        common = shared(cluster[0], cluster[-1])  # in sorted order, the first and last share the least
        common = min(common, *(firsts[sequence] for sequence in cluster))
        if common >= PREFIX_TOKENS and _size(cluster, 0) > ROW_TOKENS:
            forests.append(Forest(cluster[0][:common], _rows(cluster, common)))
        else:
            loose += cluster
    trees = list(_trees(loose, 0))
    # Sequences that share nothing become plain rows, whose attention is cheaper.
    forests += separate({tree[0]: 0 for tree in trees if len(tree) == 1})
    forests.append(Forest((), _rows([sequence for tree in trees if len(tree) > 1 for sequence in tree], 0)))
    return [forest for forest in forests if forest.rows]


def separate(firsts: dict[Ids, int]) -> list[Forest]:
    """One row per sequence, the longest first: for models that do not support branches."""
    rows = []
    for sequence in sorted(firsts, key=len, reverse=True):
        row = Row()
        row.add(sequence)
        rows.append(row)
    return [Forest((), rows)]


def shared(a: Ids, b: Ids) -> int:
    """Length of the common prefix of two sequences."""
    # Bisection: comparing slices is faster than comparing single tokens.
    lengths = range(1, min(len(a), len(b)) + 1)
    return bisect_left(lengths, True, key=lambda length: a[:length] != b[:length])


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
    """Rows of about ROW_TOKENS, the longest first; the branches of a tree stay together if possible."""
    rows: list[Row] = []
    for tree in _trees(ordered, start):
        if not rows or len(rows[-1].ids) + _size(tree, start) > ROW_TOKENS:
            rows.append(Row(start))
        # A tree exceeds the row size if its trunk does; it is split once its trunk is the smaller part.
        limit = max(ROW_TOKENS, 2 * max(map(len, tree)))
        for sequence in tree:
            if rows[-1].ids and rows[-1].length_with(sequence) > limit:
                rows.append(Row(start))
            rows[-1].add(sequence)
    return sorted(rows, key=lambda row: -len(row.ids))


def _trees(ordered: Sequence[Ids], start: int) -> Iterator[list[Ids]]:
    """Runs of sorted sequences whose neighbours share at least a quarter of the tokens after `start`."""
    if not ordered:
        return
    tree = list(ordered[:1])
    for previous, current in pairwise(ordered):
        if 4 * (shared(previous, current) - start) < min(len(previous), len(current)) - start:
            yield tree
            tree = []
        tree.append(current)
    yield tree


def _size(tree: Sequence[Ids], start: int) -> int:
    """Number of tokens of sorted sequences after `start`, with shared tokens counted once."""
    unshared = sum(
        len(current) - max(start, shared(previous, current)) for previous, current in pairwise(tree)
    )
    return len(tree[0]) - start + unshared
