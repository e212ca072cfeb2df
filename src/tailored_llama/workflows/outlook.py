"""The outlook of a run: its stages, which of them exist, and the time and disk space of the rest.

`tailor run` prints the total before it starts, `tailor run --dry-run` prints every stage.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tailored_llama import checkpoint
from tailored_llama.progress import quietly
from tailored_llama.stage import NotComplete, Survey, read_manifest
from tailored_llama.strict_json import Json
from tailored_llama.workflows.disk import Need, bytes_of, needed, size_of
from tailored_llama.workflows.speed import Speed, measured
from tailored_llama.workflows.steps import Made, Step
from tailored_llama.workflows.timing import seconds_of
from tailored_llama.workflows.workload import Workload

EXISTS, TO_DO = "exists", "to do"
HOW = (
    "times are estimates, accurate to about a factor of two: from short measurements on this machine, with a "
    "model of these widths and few layers, and from the recorded times of the existing stages"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """One stage of a run: its state, the estimated seconds (for an existing stage, the recorded ones; None if
    unknown) and the bytes of its result.
    """

    name: str
    kind: str
    state: str
    """`exists`, `to do`, or `depends on NAME`: the first stage that has to be completed before the state of
    this one is known."""
    seconds: float | None
    bytes: int

    @property
    def exists(self) -> bool:
        """Whether the stage is complete, with these settings and inputs."""
        return self.state == EXISTS

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        seconds = None if self.seconds is None else round(self.seconds, 1)
        return {
            "name": self.name, "kind": self.kind, "state": self.state, "seconds": seconds,
            "bytes": self.bytes,
        }  # fmt: skip


@dataclass(frozen=True)
class Outlook:
    """All stages of a run in order, and the disk space in bytes: needed in total, already used, and free."""

    stages: Sequence[Planned]
    need: Need
    there: int
    free: int
    how: str = HOW
    """How the time is estimated."""

    @property
    def seconds(self) -> float | None:
        """The seconds that the missing stages will take; None if unknown."""
        return total(self.stages)

    @property
    def line(self) -> str:
        """The time and disk space of the rest, in one line."""
        return summary(self.seconds, self.need, self.there, self.free)

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        return {
            **self.listed(), "seconds": self.seconds, "disk": disk_json(self.need, self.there, self.free),
            "estimate": self.how,
        }  # fmt: skip

    def listed(self) -> dict[str, Json]:
        """The list in the JSON output: the stages."""
        return {"stages": [stage.to_json() for stage in self.stages]}


def outlook(work: Workload, steps: Sequence[Step], out: Path, survey: Survey | None = None) -> Outlook:
    """The outlook of the stages `steps` of a run in `out`, which may be missing. Writes nothing."""
    store = survey or Survey(out)
    known = states(steps, store) if out.is_dir() else unseen(steps)
    speed = None if all(state == EXISTS for state in known.values()) else try_measure(work)
    stages = planned(work, steps, known, recorded(known, store), speed)
    return Outlook(stages, needed(work, steps), size_of(out), checkpoint.free_bytes(out))


def unseen(steps: Sequence[Step]) -> dict[str, str]:
    """The states of `steps` if none of them exists."""
    return {step.name: f"depends on {step.needs[0]}" if step.needs else TO_DO for step in steps}


def states(steps: Sequence[Step], store: Survey, made: Made | None = None) -> dict[str, str]:
    """The states of `steps` by name: EXISTS, TO_DO, or `depends on NAME` if the state is only known when the
    stage NAME is complete.
    """
    made, by_name = made or Made(), {}
    with quietly():
        for step in steps:
            missing = next((name for name in step.needs if name not in made), None)
            if missing is not None:
                by_name[step.name] = f"depends on {missing}"
                continue
            try:
                made.add(step.name, step.complete(made, store.slot(step.name)))
                by_name[step.name] = EXISTS
            except NotComplete:
                by_name[step.name] = TO_DO
    return by_name


def recorded(known: Mapping[str, str], store: Survey) -> dict[str, float]:
    """The seconds that the existing stages took, by name, from their manifests."""
    places = {name: store.found[name] for name, state in known.items() if state == EXISTS}
    return {name: read_manifest(place).seconds for name, place in places.items()}


def planned(
    work: Workload,
    steps: Sequence[Step],
    known: Mapping[str, str],
    took: Mapping[str, float],
    speed: Speed | None,
) -> list[Planned]:
    """Each of `steps` with its state, size and seconds; an estimate is scaled by the ratio of recorded to
    estimated time of the existing stages of its kind.
    """
    guesses = {step.name: seconds_of(step, work, speed) for step in steps} if speed else {}
    factors = {}
    for kind in {step.kind for step in steps}:
        own = [step.name for step in steps if step.kind == kind and step.name in took]
        if own and guesses:
            factors[kind] = sum(took[name] for name in own) / sum(guesses[name] for name in own)
    return [
        Planned(
            step.name, step.kind, known[step.name],
            took[step.name] if step.name in took
            else guesses[step.name] * factors.get(step.kind, 1.0) if guesses else None,
            bytes_of(step, work),
        )
        for step in steps
    ]  # fmt: skip


def try_measure(work: Workload) -> Speed | None:
    """The speed of this machine, or None if it cannot be measured: the run does not depend on it."""
    try:
        return measured(work)
    except Exception as error:  # a model too large for two layers of it, a family without fp32, ...
        log.debug("the speed of this machine could not be measured: %s", error)
        return None


def total(stages: Sequence[Planned]) -> float | None:
    """Seconds of the missing `stages`; None if unknown."""
    rest = [stage.seconds for stage in stages if not stage.exists]
    return None if None in rest else sum(seconds for seconds in rest if seconds is not None)


def summary(seconds: float | None, need: Need, there: int, free: int) -> str:
    """`estimate: about 5 min; disk: ...`, for one line of a log."""
    size = checkpoint.size_text
    left = "not known" if seconds is None else about(seconds)
    already = f", {size(there)} are used already" if there else ""
    return (
        f"estimate: {left}; disk: about {size(need.stays)} when finished, {size(need.peak)} while it runs; "
        f"{size(free)} are free{already}"
    )


def disk_json(need: Need, there: int, free: int) -> dict[str, int]:
    """The disk space, as `--json` prints it."""
    return {"finished": need.stays, "peak": need.peak, "there": there, "free": free}


def start(line: str, need: Need, there: int, out: Path) -> None:
    """Log the estimate; OutputError if too little disk space is free. `there`: bytes used already."""
    log.info("%s", line)
    checkpoint.require_room(out, max(0, need.peak - there))


def about(seconds: float) -> str:
    """`about 40 s`, `about 3 min`, `about 2.5 h`, `about 3 days`: with few digits, as it is an estimate."""
    if seconds < 1:
        return "about 1 s" if seconds else "nothing to compute"
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds / size < most:
            count = seconds / size
            return f"about {count:.1f} {unit}" if unit == "h" and count < 10 else f"about {count:.0f} {unit}"
    return f"about {seconds / 86400:.0f} days"


class Pace:
    """The progress of a run. `parts` are the missing parts by name, with the estimated seconds of each (None
    if unknown). The measured times of finished parts correct the estimate of the rest.
    """

    def __init__(self, parts: Mapping[str, float | None], what: str = "stage") -> None:
        self._what = what
        self._names = list(parts)
        self._left = dict(parts)
        self._guessed = self._took = 0.0

    @classmethod
    def of(cls, stages: Sequence[Planned]) -> Pace:
        """The progress over the stages of a run."""
        return cls({stage.name: stage.seconds for stage in stages if not stage.exists})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Context of the computation of the part `name`: logs its number and the remaining time. Logs nothing
        for a part that exists.
        """
        if name in self._left:
            number = self._names.index(name) + 1
            log.info("%s %d of %d: %s%s", self._what, number, len(self._names), name, self._time_left())
        began = time.monotonic()
        yield
        guess = self._left.pop(name, None)
        if guess is not None:
            self._guessed += guess
            self._took += time.monotonic() - began

    def _time_left(self) -> str:
        """`; about 3 min left`, or an empty text if unknown."""
        rest = [seconds for seconds in self._left.values() if seconds is not None]
        if not rest or len(rest) < len(self._left):
            return ""
        return f"; {about(sum(rest) * (self._took / self._guessed if self._guessed else 1))} left"
