"""Calibration of choices by the other questions of the same task, without their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from tailored_llama.scoring.choices import Scored


def batch_calibrated(scored: Sequence[Scored]) -> list[Scored]:
    """The questions with the mean log-likelihood of each choice over all of them subtracted.

    A preference of the model for one label, whatever the question, is removed (Zhou et al. 2023, Batch
    Calibration). There the logarithm of the mean probability is subtracted. The mean log-likelihood does not
    depend on how probable the labels are together in each question. Choice i must be the same label in every
    question.
    """
    means = [fmean(values) for values in zip(*(one.loglikelihoods for one in scored), strict=True)]
    return [
        replace(
            one,
            loglikelihoods=tuple(value - mean for value, mean in zip(one.loglikelihoods, means, strict=True)),
        )
        for one in scored
    ]
