"""What a run will do, before it starts: its stages, which of them exist, and the time and disk of the rest.

`tailor run` prints the sum before it starts, `tailor run --dry-run` prints all of it.
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
    "time is estimated: from a few passes on this machine, measured on a model of these widths with few "
    "layers, and from what the stages that exist took; expect it to be right to a factor of two"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """One stage of a run: whether it is there, the seconds that it will take (of one that is there, took) and
    the bytes of its result. Without `seconds`, they are not known.
    """

    name: str
    kind: str
    state: str
    """`exists`, `to do`, or `depends on` the first stage that has to be computed before this one is known."""
    seconds: float | None
    bytes: int

    @property
    def exists(self) -> bool:
        """Whether it is complete, with these settings and inputs."""
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
    """All stages of a run in order, and the disk that it needs: `need` of all, `there` already, `free`."""

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
        """The time and disk of the rest, in a sentence."""
        return summary(self.seconds, self.need, self.there, self.free)

    def to_json(self) -> dict[str, Json]:
        """As `--json` prints it."""
        return {
            **self.listed(), "seconds": self.seconds, "disk": disk_json(self.need, self.there, self.free),
            "estimate": self.how,
        }  # fmt: skip

    def listed(self) -> dict[str, Json]:
        """What is listed: the stages."""
        return {"stages": [stage.to_json() for stage in self.stages]}


def outlook(work: Workload, steps: Sequence[Step], out: Path, survey: Survey | None = None) -> Outlook:
    """The stages `steps` of a run in `out`. Writes nothing, and does not read an `out` that is missing."""
    store = survey or Survey(out)
    found = states(steps, store) if out.is_dir() else unseen(steps)
    speed = None if all(state == EXISTS for state in found.values()) else try_measure(work)
    stages = planned(work, steps, found, recorded(found, store), speed)
    return Outlook(stages, needed(work, steps), size_of(out), checkpoint.free_bytes(out))


def unseen(steps: Sequence[Step]) -> dict[str, str]:
    """The states of `steps` if none of them exists."""
    return {step.name: f"depends on {step.needs[0]}" if step.needs else TO_DO for step in steps}


def states(steps: Sequence[Step], store: Survey, made: Made | None = None) -> dict[str, str]:
    """The states of `steps` by name: EXISTS, TO_DO, or `depends on NAME` if the state is only known when the
    stage NAME is complete.
    """
    made, found = made or Made(), {}
    with quietly():
        for step in steps:
            missing = next((name for name in step.needs if name not in made), None)
            if missing is not None:
                found[step.name] = f"depends on {missing}"
                continue
            try:
                made.add(step.name, step.complete(made, store.slot(step.name)))
                found[step.name] = EXISTS
            except NotComplete:
                found[step.name] = TO_DO
    return found


def recorded(found: Mapping[str, str], store: Survey) -> dict[str, float]:
    """The seconds that the existing stages took, by name, from their manifests."""
    places = {name: store.found[name] for name, state in found.items() if state == EXISTS}
    return {name: read_manifest(place).seconds for name, place in places.items()}


def planned(
    work: Workload,
    steps: Sequence[Step],
    found: Mapping[str, str],
    took: Mapping[str, float],
    speed: Speed | None,
) -> list[Planned]:
    """Each of `steps` with its state, size and seconds; an estimate is scaled by what stages of its kind took
    against theirs.
    """
    guesses = {step.name: seconds_of(step, work, speed) for step in steps} if speed else {}
    factors = {}
    for kind in {step.kind for step in steps}:
        own = [step.name for step in steps if step.kind == kind and step.name in took]
        if own and guesses:
            factors[kind] = sum(took[name] for name in own) / sum(guesses[name] for name in own)
    return [
        Planned(
            step.name, step.kind, found[step.name],
            took[step.name] if step.name in took
            else guesses[step.name] * factors.get(step.kind, 1.0) if guesses else None,
            bytes_of(step, work),
        )
        for step in steps
    ]  # fmt: skip


def try_measure(work: Workload) -> Speed | None:
    """The speed of this machine, or None: whatever goes wrong here is no reason not to run."""
    try:
        return measured(work)
    except Exception as error:  # a model too large for two layers of it, a family without fp32, ...
        log.debug("the speed of this machine could not be measured: %s", error)
        return None


def total(stages: Sequence[Planned]) -> float | None:
    """Seconds of those `stages` that are not there; None if they are not known."""
    rest = [stage.seconds for stage in stages if not stage.exists]
    return None if None in rest else sum(seconds for seconds in rest if seconds is not None)


def summary(seconds: float | None, need: Need, there: int, free: int) -> str:
    """`estimate: about 5 min; disk: ...`, for one line of a log."""
    size = checkpoint.size_text
    left = "not known" if seconds is None else about(seconds)
    already = f", {size(there)} are there already" if there else ""
    return (
        f"estimate: {left}; disk: about {size(need.stays)} when finished, {size(need.peak)} while it runs; "
        f"{size(free)} are free{already}"
    )


def disk_json(need: Need, there: int, free: int) -> dict[str, int]:
    """The disk, as `--json` prints it."""
    return {"finished": need.stays, "peak": need.peak, "there": there, "free": free}


def start(line: str, need: Need, there: int, out: Path) -> None:
    """Log the estimate of a run; OutputError if less than it needs is free beside what is `there`."""
    log.info("%s", line)
    checkpoint.require_room(out, max(0, need.peak - there))


def about(seconds: float) -> str:
    """`about 40 s`, `about 3 min`, `about 2.5 h`, `about 3 days`: no more digits than an estimate has."""
    if seconds < 1:
        return "about 1 s" if seconds else "nothing to compute"
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds / size < most:
            count = seconds / size
            return f"about {count:.1f} {unit}" if unit == "h" and count < 10 else f"about {count:.0f} {unit}"
    return f"about {seconds / 86400:.0f} days"


class Pace:
    """How far a run is. `parts` are those that are not there, by name, with the seconds that each will take
    (None: not known). What the first of them took corrects what is left.
    """

    def __init__(self, parts: Mapping[str, float | None], what: str = "stage") -> None:
        self._what = what
        self._names = list(parts)
        self._left = dict(parts)
        self._guessed = self._took = 0.0

    @classmethod
    def of(cls, stages: Sequence[Planned]) -> Pace:
        """Of a run's stages."""
        return cls({stage.name: stage.seconds for stage in stages if not stage.exists})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The part `name` is computed in the block; the log says which it is and what time is left. Of one
        that is there it says nothing.
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
        """`; about 3 min left`, or nothing where that is not known."""
        rest = [seconds for seconds in self._left.values() if seconds is not None]
        if not rest or len(rest) < len(self._left):
            return ""
        return f"; {about(sum(rest) * (self._took / self._guessed if self._guessed else 1))} left"
