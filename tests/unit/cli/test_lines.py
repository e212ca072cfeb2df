"""What the command line writes when it is interrupted or refuses something: one short line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tailored_llama.cli import execute, verbs
from tailored_llama.errors import LINE, SHOWN, DataError, TailorError, one_line, shown

INTERRUPTED = "tailor: interrupted; rerun the same command to resume\n"
START = """
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored

import tailored_llama.cli as cli

class Interrupts(cli.Interrupts):
    def __init__(self):
        super().__init__()
        print("ready", flush=True)

cli.Interrupts = Interrupts
cli.main({!r})
"""


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of a refused command, which writes nothing on stdout."""
    assert execute(list(arguments)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert len(output.err) <= LINE + len("tailor: \n")
    return output.err


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.3])
def test_an_interrupt_while_the_libraries_load_is_one_line(tmp_path: Path, delay: float) -> None:
    arguments = ["tune", "world", "--task", "world_piqa", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", START.format(arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, INTERRUPTED)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_in_a_verb_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailored_llama.cli.options.recipe_of", interrupt)
    assert execute(["run", "demo", "--out", "x"]) == 130
    assert capsys.readouterr().err == INTERRUPTED


def test_a_parent_that_ignores_interrupts_is_respected() -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import tailored_llama.cli as cli, tailored_llama.cli.verbs as verbs\n"
        "def execute(_): signal.raise_signal(signal.SIGINT); return 0\n"
        "verbs.execute = execute; cli.main([])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize(
    "verb",
    [
        "try: signal.raise_signal(signal.SIGINT)\n    except KeyboardInterrupt: raise ImportError('half')",
        "signal.raise_signal(signal.SIGINT)  # just before or after what `execute` itself catches",
    ],
    ids=["a library turns it into its own error", "outside every handler"],
)
def test_an_interrupt_is_one_line_wherever_it_comes(verb: str) -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import tailored_llama.cli as cli, tailored_llama.cli.verbs as verbs\n"
        f"def execute(_):\n    {verb}\n"
        "verbs.execute = execute; cli.main([])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, INTERRUPTED)


def test_an_interrupt_after_the_verb_is_one_line() -> None:
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import tailored_llama.cli as cli, tailored_llama.cli.verbs as verbs\n"
        "verbs.execute = lambda _: 0\n"
        "sys.exit = lambda _: signal.raise_signal(signal.SIGINT)\n"
        "cli.main([])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, INTERRUPTED)


def test_the_entry_point_loads_next_to_nothing_before_it_answers_interrupts() -> None:
    code = "import sys; was = set(sys.modules); import tailored_llama.cli; print(*set(sys.modules) - was)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"typing", "pathlib", "importlib.resources", "logging", "typer", "pydantic", "torch"}
    assert not set(found.stdout.split()) & slow


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, ["y" * 300] * 10**5, {"a": "z\n" * 10**5}, 10**6000],
    ids=["text", "list", "mapping", "number"],
)
def test_a_value_is_shown_short_and_on_one_line(value: Any) -> None:
    text = shown(value)
    assert len(text) <= SHOWN + 3
    assert "\n" not in text


def test_a_value_that_holds_itself_many_times_over_is_shown_at_once() -> None:
    bomb: list[Any] = ["ha"] * 9
    for _ in range(40):
        bomb = [bomb] * 9
    start = time.perf_counter()
    assert len(shown(bomb)) <= SHOWN + 3
    assert time.perf_counter() - start < 1


def test_a_message_keeps_its_beginning_and_its_end() -> None:
    message = str(DataError("rows.csv, row 3: " + "a\x1b[31m b\n" * 10**5 + "; name fewer"))
    assert len(message) <= LINE
    assert message.startswith("rows.csv, row 3: a\\x1b[31m b a")
    assert message.endswith("; name fewer")
    assert message.isprintable()
    assert one_line(message) == message
    assert str(TailorError("short; do this")) == "short; do this"


def test_every_verb_answers_long_values_in_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    long = "n" * 5000
    assert "did you mean" not in refused(capsys, "run", long, "--out", "x")
    refused(capsys, long)
    refused(capsys, "run", "demo", "--out", "x", f"--{long}")
    refused(capsys, "run", "demo", "--out", "x", "--set", f"tune.prompt=[{long}]")
    refused(capsys, "run", "demo", "--out", "x", "--set", f"{long}=1")
    refused(capsys, "run", "demo", "--out", "x", "--set", f"tasks=[{','.join([long, long + 'a'])}]")
    refused(capsys, "prompts", "show", long)
    refused(capsys, "prompts", "show", f"{long}.yaml")
    refused(capsys, "measure", long)
    refused(capsys, "measure", f"{long}/{long}", "--json")
    refused(capsys, "report", long, "--out", "x.html")
    refused(capsys, "prune", "world", "--out", "x", "--plan", long)
    refused(capsys, "export", "world", "--out", "x", "--adapter", long)
    refused(capsys, "export", "world", "--out", "x", "--results", long)
    refused(capsys, "run", "demo", "--out", "x", "--layers", f"{long}:4")
    refused(capsys, "run", "demo", "--out", "x", "--layers", "²:4")
    refused(capsys, "run", "demo", "--out", "x", "--layers", f"{'1' * 5000}:4")
    refused(capsys, "measure", "world", "--batch", "²")
    refused(capsys, "measure", "world", "--batch", "9" * 5000)


def test_a_script_gets_the_same_line_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'ratio'" in refused(
        capsys, "run", "demo", "--out", "x", "--json", "--set", "prune.ratoi=1"
    )
    refused(capsys, "evaluate", "world", "--json", "--tasks", "no_such_task")
    assert execute(["measure", "world", "--config-only", "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_what_the_file_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "some/where")

    monkeypatch.setattr(verbs, "app", denied)
    assert refused(capsys, "tasks").startswith("tailor: some/where: Permission denied; ")
    assert execute(["tasks"]) == 2


@pytest.mark.parametrize("option", ["--tasks", "--perplexity"])
def test_a_list_that_names_nothing_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "names nothing" in refused(capsys, "evaluate", "world", option, " , ")
