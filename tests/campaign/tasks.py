"""Task files, templates and rows of strangers: read as they are, or refused with file, row and field."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

from tests.campaign import child
from tests.campaign.bench import OUT, Bench
from tests.campaign.nasty import TEMPLATES, TEXTS, VALUES, YAML, damage, text_of
from tests.campaign.verdict import Outcome, Wrong, check_left, check_same, contents, judge, nothing_lost

COUNT, SHORT = 300, 10
TASK = "mine/mine.yaml"
RECIPE = ("--recipe", "quick.yaml")
VERBS: dict[str, tuple[str, ...]] = {
    "show": ("prompts", "show", TASK),
    "evaluate": (
        "evaluate",
        "model",
        "--tasks",
        TASK,
        "--prompt",
        "plain",
        "--limit",
        "4",
        "--out",
        OUT,
        "--json",
    ),
    "tune": ("tune", "model", "--task", TASK, *RECIPE, "--out", OUT),
    "rank": ("prompts", "rank", "model", TASK, "--shots", "4", "--json"),
    "run": ("run", "quick.yaml", "--set", f"tasks=[{TASK}]", "--out", OUT),
}
OFTEN = ("show", "show", "evaluate", "evaluate", "tune", "rank", "run")
CHOICE = {
    "name": "mine", "metric": "acc", "scored": "test", "max_length": "64", "fields": "[text, mood]",
    "options": '"[\'sad\', \'happy\']"', "gold": "options.index(mood)", "source": "{files: .}",
}  # fmt: skip
WRITTEN = {
    "name": "mine", "kind": "generation", "metric": "f1", "scored": "test", "max_length": "64",
    "fields": "[text, mood]", "references": '"[mood]"', "generation": "{max_new_tokens: 4}",
    "source": "{files: .}",
}  # fmt: skip
KEYS = (
    "about", "let", "extends", "kind", "nosuch", "prompts.plain", "prompts.plain.delimiter",
    "prompts.plain.answers", "prompts.plain.contexts", "prompts.plain.answer", "source.hub", "source.world",
    "source.encoding", "source.split",
)  # fmt: skip
EXPRESSIONS = ("options", "gold", "references", "prompts.plain.context", "prompts.plain.answers", "let.more")


def case(bench: Bench, seed: int, folder: Path) -> Outcome:
    """Spoil the task file, a template, the rows or their file; or ask that three formats read alike."""
    dice = random.Random(seed)
    bench.inputs(folder)
    (folder / "mine").mkdir()
    if seed % 8 == 0:
        return _three_formats(dice, folder)
    task: dict[str, Any] = dict(dice.choice((CHOICE, CHOICE, WRITTEN)))
    task["prompts"] = {"plain": {"context": '"{{ text }} It was a day to be"'}}
    rows = [json.loads(line) for line in (folder / "mood" / "train.jsonl").read_text().splitlines()]
    what, suffix = dice.choice(("key", "key", "template", "rows", "rows", "file", "file")), ".jsonl"
    if what == "key":
        key = dice.choice((*task, *KEYS))
        value = dice.choice(YAML)
        what += f" {key}={value[:80]}"
        _put(task, key, value)
    elif what == "template":
        key, template = dice.choice(EXPRESSIONS), dice.choice(TEMPLATES)
        if (
            key in ("options", "gold", "references", "let.more", "prompts.plain.answers")
            and dice.random() < 0.8
        ):
            template = template.removeprefix("{{").removesuffix("}}").strip()
        what += f" {key}={template[:80]}"
        _put(task, key, json.dumps(template))
    elif what == "rows":
        what += f" {_spoil(rows, dice)}"
    (folder / TASK).write_text("".join(f"{k}: {_flow(v)}\n" for k, v in task.items()), errors="surrogatepass")
    if what in ("rows", "file") or what.startswith("rows"):
        suffix = dice.choice((".jsonl", ".jsonl", ".csv", ".parquet", ".tsv", ".json"))
    if not _write(folder / "mine" / f"train{suffix}", rows) or not _write(
        folder / "mine" / f"test{suffix}", rows[8:]
    ):
        return "done"  # the format itself cannot hold such rows
    if what == "file":
        victim = folder / "mine" / f"{dice.choice(('train', 'test'))}{suffix}"
        data, how = damage(victim.read_bytes(), dice)
        victim.write_bytes(
            _misshapen(data, dice) if suffix in (".csv", ".tsv") and dice.random() < 0.5 else data
        )
        what += f" {how}"
    return _given(folder, dice.choice(OFTEN), f"{what} ({suffix}); ")


def _given(folder: Path, verb: str, what: str) -> Outcome:
    with nothing_lost(folder):
        before = contents(folder / "disk")
        ran = child.run(VERBS[verb], folder)
        try:
            verdict = judge(ran)
            if verdict == "refused" and verb != "run":
                check_same(before, contents(folder / "disk"), f"after a refusal by {ran.line}")
            check_left(folder / OUT)
        except Wrong as error:
            raise Wrong(f"{what}{error}") from None
    return "refused" if verdict == "refused" else "done"


def _three_formats(dice: random.Random, folder: Path) -> Outcome:
    """Rows of texts that look like values: the same prompts from JSON lines, CSV and Parquet."""
    rows: list[dict[str, Any]] = [
        {"text": dice.choice(TEXTS), "mood": mood} for mood in ("sad", "happy") for _ in range(4)
    ]
    dice.shuffle(rows)
    shown = {}
    task = {**CHOICE, "prompts": '{plain: {context: "{{ text }} It was"}}'}
    for suffix in (".jsonl", ".csv", ".parquet"):
        for old in (folder / "mine").glob("t*"):
            old.unlink()
        (folder / TASK).write_text("".join(f"{k}: {v}\n" for k, v in task.items()))
        for split in ("train", "test"):
            _write(folder / "mine" / f"{split}{suffix}", rows)
        ran = child.run(VERBS["show"], folder)
        if judge(ran) != "done":
            raise Wrong(f"{suffix} of {rows[0]}: {ran.line}\n{ran.err}")
        shown[suffix] = ran.out
    for suffix, text in shown.items():
        if text != shown[".jsonl"]:
            raise Wrong(f"{suffix} reads otherwise than .jsonl:\n{text[:500]}\n{shown['.jsonl'][:500]}")
    return "done"


def _spoil(rows: list[dict[str, Any]], dice: random.Random) -> str:
    """One row in another shape, one cell of another kind, or a whole column."""
    if dice.random() < 0.4:
        return _spoil_all(rows, dice)
    index, field = dice.randrange(len(rows)), dice.choice(("text", "mood"))
    how, value = dice.choice(("cell", "cell", "text", "missing", "more", "null")), dice.choice(VALUES)
    if how == "cell":
        rows[index][field] = value
    elif how == "text":
        rows[index]["text"] = value = dice.choice((*TEXTS, "long " * 3000, "x" * 140_000, " "))
    elif how == "missing":
        del rows[index][field]
    elif how == "more":
        rows[index]["extra"] = value
    else:
        rows[index][field] = value = None
    return f"{how} {index}.{field} {str(value)[:60]!r}"


def _spoil_all(rows: list[dict[str, Any]], dice: random.Random) -> str:
    """A column of another kind or name, or another number of rows."""
    field, value = dice.choice(("text", "mood")), dice.choice(VALUES)
    how = dice.choice(("column", "renamed", "few", "doubled", "label", "label"))
    if how == "few":
        del rows[dice.randrange(3) :]
    elif how == "doubled":
        rows[:] = [rows[0]] * len(rows)
    elif how == "label":
        field = "mood"
    for row in rows:
        if how == "column":
            row[field] = value
        elif how == "renamed":
            row[field.upper()] = row.pop(field)
        elif how == "label":
            row["mood"] = value = dice.choice((0, 1, True, "0", "Sad", "sad ", 1.0))
    return f"{how} {field} {str(value)[:60]!r}"


def _write(path: Path, rows: list[dict[str, Any]]) -> bool:
    """`rows` in the format of the suffix; False where it cannot hold them."""
    if path.suffix == ".jsonl":
        path.write_text("".join(text_of(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(text_of(rows))
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        except (pyarrow.ArrowException, ValueError, TypeError, OverflowError):
            return False
    else:
        file = io.StringIO(newline="")
        names = list(dict.fromkeys(name for row in rows for name in row)) or ["text", "mood"]
        try:
            writer = csv.DictWriter(file, names, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
            path.write_bytes(file.getvalue().encode())
        except (csv.Error, UnicodeEncodeError):
            return False
    return True


def _misshapen(data: bytes, dice: random.Random) -> bytes:
    """A table whose rows have too many or too few cells, a quote that is never closed, a doubled name."""
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    lines[at] = dice.choice(
        (lines[at] + b",more", b"one", b'"open,' + lines[at], b"", b",", b"text,text,mood")
    )
    return b"\n".join(lines)


def _put(task: dict[str, Any], key: str, value: str) -> None:
    *above, last = key.split(".")
    for part in above:
        inner = task.get(part)
        if not isinstance(inner, dict):
            inner = task[part] = {"files": "."} if part == "source" and dict is type(inner) else {}
        task = inner
    task[last] = value


def _flow(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
