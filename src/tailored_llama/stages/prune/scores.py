"""Scores of the chosen groups by one criterion, measured on given weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tailored_llama.checkpoint import Weights
from tailored_llama.errors import CheckpointError, PlanError
from tailored_llama.families import MODEL, Group, Kind, Slice, groups
from tailored_llama.progress import track
from tailored_llama.recipe import Prune, Reduce
from tailored_llama.stages.prune.activations import InputStatistics
from tailored_llama.stages.prune.criterion import Criterion, Inputs, Matrix, criterion_named
from tailored_llama.stages.prune.objective import Objective, Tokens
from tailored_llama.stages.prune.reduce import fold, over_members
from tailored_llama.stages.prune.walk import Walk

NUMBERS_AT_ONCE = 2**18
"""Number of matrix elements scored together: 1 MB in fp32, so that intermediate results stay in the cache."""

Key = tuple[Kind, int]
"""The key of a group: (unit kind, layer)."""
Text = Tokens | Objective | None
Device = str | torch.device | None
ChannelScores = dict[Key, Float[Tensor, "units channels"]]


def chosen_groups(weights: Weights, settings: Prune) -> list[Group]:
    """The groups to be scored: those of the recipe's unit kinds and layers.

    A layer's score is the sum over its units, so with the unit kind `layers` these are scored as well.
    """
    every = groups(weights.config)
    start, end = settings.layers or (0, 1 + max(group.layer for group in every))
    kinds = {*settings.units, "heads", "mlp"} if "layers" in settings.units else {*settings.units}
    return [g for g in every if g.kind in kinds - {"layers"} and (g.layer == MODEL or start <= g.layer < end)]


def channel_scores(
    weights: Weights, settings: Prune, text: Text, seed: int, *, device: Device = None
) -> ChannelScores:
    """The criterion's score of each channel of the chosen groups, reduced over members; at least fp32, on the
    CPU.

    `text` is the calibration batch or objective; criteria without measurements ignore it. `seed` is for the
    random criterion. Raises CheckpointError, with the tensor, for a score that is not finite, and PlanError
    for a criterion that scores only layers.
    """
    chosen, rule = chosen_groups(weights, settings), criterion_named(settings.criterion)
    if rule.layer:
        raise PlanError(
            f"prune.criterion: {rule.name} scores whole layers, not {' and '.join(settings.units)}; choose "
            "another criterion for them"
        )
    if rule.group:
        generator = torch.Generator().manual_seed(seed)
        drawn = {(g.kind, g.layer): _of_shape(rule, rule.group(g, generator), g.units) for g in chosen}
        return {key: scores[:, None] for key, scores in drawn.items()}
    members = _measured(weights, chosen, settings, text, device)
    return members.reduced(rule.reduce or settings.reduce)


def layer_scores(
    weights: Weights, settings: Prune, text: Text, seed: int, *, device: Device = None
) -> dict[int, float]:
    """The criterion's score of each decoder layer in `settings.layers` (default: all).

    A criterion of matrices or groups is summed over all heads and MLP channels of the layer. Otherwise as
    `channel_scores`.
    """
    every, rule = groups(weights.config), criterion_named(settings.criterion)
    start, end = settings.layers or (0, 1 + max(group.layer for group in every))
    chosen = [g for g in every if start <= g.layer < end and g.kind in ("heads", "mlp")]
    scores = dict.fromkeys(range(start, end), 0.0)
    if rule.layer:
        assert text is not None, settings.criterion
        counts = dict.fromkeys(scores, 0)

        def witness(layer: int, before: Tensor, after: Tensor) -> None:
            if layer in scores:
                assert rule.layer is not None
                result = rule.layer(before, after)
                scores[layer] += float(result.double().sum())
                counts[layer] += result.numel()

        Walk(weights, text, (), precision=settings.precision, device=device).through(witness, end)
        return {layer: score / counts[layer] for layer, score in scores.items()}
    if rule.group:
        generator = torch.Generator().manual_seed(seed)
        for group in chosen:
            scores[group.layer] += float(rule.group(group, generator).sum())
        return scores
    members = _measured(weights, chosen, settings, text, device)
    for group in chosen:
        found = [members.scores[piece] for piece in group.slices if piece in members.scores]
        scores[group.layer] += sum(float(score.double().sum()) for score in found)
    return scores


def _measured(
    weights: Weights, chosen: Sequence[Group], settings: Prune, text: Text, device: Device
) -> _MemberScores:
    """Scores of all members of the chosen groups, for a criterion of matrices."""
    rule, members = criterion_named(settings.criterion), _MemberScores(chosen, settings)
    if rule.needs == "weights":
        for name in track(list(members.owners), "magnitudes"):
            members.add(name, weights.tensor(name), None, None)
        return members
    assert text is not None, settings.criterion
    walk = Walk(
        weights, text, members.owners, per_sample=rule.needs == "squared_gradient",
        precision=settings.precision, device=device,
    )  # fmt: skip
    if rule.needs == "inputs":
        walk.activations(members.observe, members.finish)
    else:
        walk.gradients(members.add)
    return members


class _MemberScores:
    """Scores of single matrices, collected in any order and reduced per group in member order."""

    def __init__(self, chosen: Sequence[Group], settings: Prune) -> None:
        self.chosen = chosen
        self.rule = criterion_named(settings.criterion)
        self.owners: dict[str, list[tuple[Group, Slice]]] = defaultdict(list)
        for group in chosen:
            for piece in group.slices:
                if piece.scored and (piece.axis == 1 or not self.rule.at_outputs):
                    self.owners[piece.tensor].append((group, piece))
        self.scores: dict[Slice, Float[Tensor, "units channels"]] = {}
        self.observed: dict[str, InputStatistics] = {}

    def observe(self, name: str, inputs: Tensor) -> None:
        """Add a batch of one matrix's inputs."""
        if name not in self.observed:
            group, piece = self.owners[name][0]
            self.observed[name] = InputStatistics(group.channels if piece.axis == 1 else None)
        self.observed[name].add(inputs)

    def finish(self, name: str, weight: Tensor) -> None:
        """Score one matrix after all its inputs were added."""
        self.add(name, weight, None, None, self.observed.pop(name))

    def add(
        self,
        name: str,
        weight: Tensor,
        gradient: Tensor | None,
        squares: Tensor | None,
        statistics: InputStatistics | None = None,
    ) -> None:
        """Score one matrix for each group that owns a part of it."""
        for group, piece in self.owners[name]:
            score = torch.cat(list(self._by_block(group, piece, weight, gradient, squares, statistics)))
            if not score.isfinite().all():
                raise CheckpointError(f"{name}: its {self.rule.name} score is not finite; check the weights")
            self.scores[piece] = fold(score, group).cpu()

    def _by_block(
        self,
        group: Group,
        piece: Slice,
        weight: Tensor,
        gradient: Tensor | None,
        squares: Tensor | None,
        statistics: InputStatistics | None,
    ) -> Iterator[Float[Tensor, " channels"]]:
        """Scores of a few channels at a time, so that intermediate results stay in the cache."""
        assert self.rule.matrix is not None
        effective = weight + piece.shift if piece.shift else weight
        owned = [_turned(tensor, group, piece) for tensor in (effective, gradient, squares)]
        channels = group.units * piece.stride
        inputs = _inputs(statistics, _at_least_single(weight.dtype), group, piece) if statistics else None
        step = max(1, NUMBERS_AT_ONCE * channels // weight.numel())
        for start in range(0, channels, step):
            block = slice(start, start + step)
            one, two, three = (None if t is None else t[block].to(_at_least_single(t.dtype)) for t in owned)
            assert one is not None
            scores = self.rule.matrix(Matrix(one, two, three, inputs and inputs.of(block)))
            yield _of_shape(self.rule, scores, len(one))

    def reduced(self, how: Reduce) -> ChannelScores:
        """One score per channel for each group."""
        return {
            (g.kind, g.layer): over_members([self.scores[s] for s in g.slices if s in self.scores], how)
            for g in self.chosen
        }


def _of_shape(rule: Criterion, scores: Tensor, count: int) -> Float[Tensor, " count"]:
    """`scores` if they are one number per unit; PlanError otherwise, since a plugin may return anything."""
    shape = tuple(getattr(scores, "shape", ()))
    if shape != (count,):
        raise PlanError(
            f"prune.criterion: {rule.name} returns scores of shape {shape} instead of ({count},); correct it"
        )
    return scores


def _at_least_single(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _turned(tensor: Tensor | None, group: Group, piece: Slice) -> Float[Tensor, "owned fan"] | None:
    """The part of a matrix that the group owns, with its channels as rows; for a vector, rows of
    one number.
    """
    if tensor is None:
        return None
    owned = tensor.narrow(piece.axis, piece.offset, group.units * piece.stride)
    return owned.view(len(owned), -1) if piece.axis == 0 else owned.T


def _inputs(statistics: InputStatistics, dtype: torch.dtype, group: Group, piece: Slice) -> Inputs:
    """Statistics of a matrix's inputs, arranged for the part that the group owns."""

    def turned(values: Tensor) -> Tensor:
        row = values.to(dtype)[None]
        if piece.axis == 0:
            return row
        return row.narrow(1, piece.offset, group.units * piece.stride).T

    size = statistics.size()
    return Inputs(
        turned(statistics.norm()), turned(statistics.variance()), None if size is None else turned(size)
    )
