"""Writes the tables of criteria, losses, export formats and families in the docs, from their source files.

python -m tools.plugin_tables docs/reference/criteria.md docs/reference/families.md docs/guide/plugins.md

A table is written between `<!-- table: KIND -->` and `<!-- end -->`; the rest of a page is not changed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tailored_llama.families.table import Family, family_named, kinds_of, llama_cpp
from tailored_llama.plugins import CRITERIA, FAMILIES, FORMATS, KINDS, LOSSES, Kind, bundled, summary
from tailored_llama.stages.prune.criterion import criterion_named

TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
FAMILY_COLUMNS = ("`model_type`", "class", "what it is", "units", "written as GGUF", "read from GGUF")
NEEDS = {
    "nothing": "nothing", "weights": "weights", "gradient": "gradients",
    "squared_gradient": "gradients of each sample", "inputs": "activations", "stream": "residual stream",
}  # fmt: skip


def fill(page: str) -> str:
    """`page` with every marked table replaced; KeyError for an unknown kind."""
    tables = {kind.folder: _table(kind) for kind in KINDS}
    return TABLE.sub(lambda mark: f"{mark[1]}{tables[mark[2]]}{mark[3]}", page)


def _table(kind: Kind) -> str:
    if kind is CRITERIA:
        rules = map(criterion_named, bundled(kind))
        scores = [(f"`{rule.name}`", rule.formula, NEEDS[rule.needs], rule.reference) for rule in rules]
        return _lines(("`criterion`", "score of a channel", "reads", "from"), scores)
    names = bundled(kind)
    if kind is FAMILIES:
        return _lines(FAMILY_COLUMNS, [_family(family_named(name)) for name in names])
    key = {LOSSES: "`tune.loss`", FORMATS: "`--to`"}[kind]
    return _lines((key, "what it is"), [(f"`{name}`", summary(kind, name)) for name in names])


def _family(table: Family) -> tuple[str, ...]:
    units = ", ".join(f"`{kind}`" for kind in kinds_of(table)) if table.fixed else "all"
    read = f"`{table.gguf_import}`" if table.gguf_import else "no"
    about = summary(FAMILIES, table.name)
    return f"`{table.name}`", f"`{table.architecture}`", about, units, llama_cpp(table), read


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
