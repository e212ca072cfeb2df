"""Prune: score the units of a model, plan which of them to remove, and cut.

    model --measure--> scores --select--> plan --CutWeights--> smaller model

A plan can be made without cutting (`make_plan`), saved, compared and applied again.
"""

from tailored_llama.stages.prune.criterion import Criterion
from tailored_llama.stages.prune.plan import Plan, save_trajectory
from tailored_llama.stages.prune.planner import check_request
from tailored_llama.stages.prune.stage import make_plan, make_plans, prune
from tailored_llama.stages.prune.surgery import CutWeights

__all__ = [
    "Criterion",
    "CutWeights",
    "Plan",
    "check_request",
    "make_plan",
    "make_plans",
    "prune",
    "save_trajectory",
]
