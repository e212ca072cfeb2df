"""Scores of the chosen groups by one criterion, measured on given weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import CheckpointError
from tailored_llama.families import Group, Kind, Slice, groups
from tailored_llama.progress import track
from tailored_llama.prune.activations import InputStatistics
from tailored_llama.prune.criteria import Inputs, Matrix, criterion
from tailored_llama.prune.reduce import fold, over_members
from tailored_llama.prune.walk import Walk
from tailored_llama.recipe import Prune, Reduce

Key = tuple[Kind, int]
"""A group: unit kind and layer."""
ChannelScores = dict[Key, Float[Tensor, "units channels"]]


def chosen_groups(weights: Weights, settings: Prune) -> list[Group]:
    """The groups of the recipe's unit kinds and layers."""
    every = groups(weights.config)
    start, end = settings.layers or (0, 1 + max(group.layer for group in every))
    return [group for group in every if group.kind in settings.units and start <= group.layer < end]


def channel_scores(
    weights: Weights, settings: Prune, tokens: Int[Tensor, "samples length"] | None, seed: int
) -> ChannelScores:
    """The criterion's score of each channel of the chosen groups, reduced over members; at least fp32, on
    the CPU.

    `tokens` is the calibration batch; the criteria that measure nothing on text ignore it. `seed` is that
    of the random criterion. Raises CheckpointError naming the tensor whose score is not a finite number.
    """
    chosen, rule = chosen_groups(weights, settings), criterion(settings.criterion)
    if rule.group:
        generator = torch.Generator().manual_seed(seed)
        return {(g.kind, g.layer): rule.group(g, generator)[:, None] for g in chosen}
    members = _MemberScores(chosen, settings)
    if rule.needs == "weights":
        for name in track(list(members.owners), "magnitudes"):
            tensor = weights.tensor(name)
            members.add(name, tensor.to(torch.promote_types(tensor.dtype, torch.float32)), None, None)
    elif rule.needs == "inputs":
        assert tokens is not None, settings.criterion
        Walk(weights, tokens, members.by_layer()).activations(members.observe, members.finish)
    else:
        assert tokens is not None, settings.criterion
        walk = Walk(weights, tokens, members.by_layer(), per_sample=rule.needs == "squared_gradient")
        walk.gradients(members.add)
    return members.reduced(rule.reduce or settings.reduce)


class _MemberScores:
    """Scores of single matrices, gathered in any order and reduced group by group in member order."""

    def __init__(self, chosen: Sequence[Group], settings: Prune) -> None:
        self.chosen = chosen
        self.rule = criterion(settings.criterion)
        self.owners: dict[str, list[tuple[Group, Slice]]] = defaultdict(list)
        for group in chosen:
            for piece in group.slices:
                if piece.scored and (piece.axis == 1 or not self.rule.at_outputs):
                    self.owners[piece.tensor].append((group, piece))
        self.scores: dict[Slice, Float[Tensor, "units channels"]] = {}
        self.observed: dict[str, InputStatistics] = {}

    def by_layer(self) -> dict[int, list[str]]:
        """The names of the scored parameters of each layer."""
        names: dict[int, list[str]] = defaultdict(list)
        for name, owners in self.owners.items():
            names[owners[0][0].layer].append(name)
        return names

    def observe(self, name: str, inputs: Tensor) -> None:
        """Take note of a batch of one matrix's inputs."""
        if name not in self.observed:
            group, piece = self.owners[name][0]
            self.observed[name] = InputStatistics(group.channels if piece.axis == 1 else None)
        self.observed[name].add(inputs)

    def finish(self, name: str, weight: Tensor) -> None:
        """Score one matrix of which all inputs have been seen."""
        self.add(name, weight, None, None, self.observed.pop(name))

    def add(
        self,
        name: str,
        weight: Tensor,
        gradient: Tensor | None,
        squares: Tensor | None,
        seen: InputStatistics | None = None,
    ) -> None:
        """Score one matrix for every group that owns a part of it."""
        assert self.rule.matrix is not None
        for group, piece in self.owners[name]:
            weight_, gradient_, squares_ = (_turned(t, group, piece) for t in (weight, gradient, squares))
            assert weight_ is not None
            inputs = _inputs(seen, weight_.dtype, group, piece) if seen else None
            score = self.rule.matrix(Matrix(weight_, gradient_, squares_, inputs))
            if not score.isfinite().all():
                raise CheckpointError(
                    f"{name}: its {self.rule.name} score is not a finite number; check the weights"
                )
            self.scores[piece] = fold(score, group).cpu()

    def reduced(self, how: Reduce) -> ChannelScores:
        """One score a channel for each group."""
        return {
            (g.kind, g.layer): over_members([self.scores[s] for s in g.slices if s in self.scores], how)
            for g in self.chosen
        }


def _turned(tensor: Tensor | None, group: Group, piece: Slice) -> Float[Tensor, "owned fan"] | None:
    """What the group owns of a matrix, with its channels as rows."""
    if tensor is None:
        return None
    owned = tensor.narrow(piece.axis, piece.offset, group.units * piece.stride)
    return owned if piece.axis == 0 else owned.T


def _inputs(seen: InputStatistics, dtype: torch.dtype, group: Group, piece: Slice) -> Inputs:
    """Statistics of a matrix's inputs, as they stand to the part of it that the group owns."""

    def turned(values: Tensor) -> Tensor:
        row = values.to(dtype)[None]
        if piece.axis == 0:
            return row
        return row.narrow(1, piece.offset, group.units * piece.stride).T

    size = seen.size()
    return Inputs(turned(seen.norm()), turned(seen.variance()), None if size is None else turned(size))
