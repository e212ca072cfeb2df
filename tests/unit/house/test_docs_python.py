"""docs/reference/python.md says what the public functions take."""

from __future__ import annotations

import tailored_llama
from tests.support import ROOT
from tools.python_page import page, signature

PAGE = ROOT / "docs" / "reference" / "python.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "stale: make docs"


def test_the_page_has_every_public_name() -> None:
    written = PAGE.read_text(encoding="utf-8")
    for name in tailored_llama.__all__:
        assert name in ("__version__", "Plan") or f"`{name}`" in written, name


def test_a_signature_has_a_parameter_a_line() -> None:
    def small(model: str, *, ratio: float = 0.5, **more: int) -> None: ...

    assert signature("prune", small) == (
        "prune(\n    model: str,\n    *,\n    ratio: float = 0.5,\n    **more: int,\n) -> None"
    )
