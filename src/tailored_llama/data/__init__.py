"""Tasks as data: one short YAML each, with its fields, options, gold option and several named prompts.

    task = load_task("boolq")
    rows = task.rows("train", data=Path("some/dir"))
    examples = task.examples("paper", rows)

Calibration, tuning, evaluation and the report all render text here, so a model is trained and scored on the
same prompts.
"""

from tailored_llama.data.example import Example, chance
from tailored_llama.data.prompt import Generation, Prompt
from tailored_llama.data.rows import NoSplitError
from tailored_llama.data.task import Metric, Row, Split, Task
from tailored_llama.data.task_file import load_task, task_names

__all__ = [
    "Example",
    "Generation",
    "Metric",
    "NoSplitError",
    "Prompt",
    "Row",
    "Split",
    "Task",
    "chance",
    "load_task",
    "task_names",
]
