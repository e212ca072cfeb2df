"""What crosses a subpackage boundary has a type of its own: no function takes or gives `dict[str, Any]`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.support import ROOT
from tests.support.boundaries import loose_boundaries


def test_no_mapping_to_anything_crosses_a_subpackage_boundary() -> None:
    """JSON that has no model (a recipe as it was read, config.json) is `Mapping[str, Json]` or pydantic's
    JsonValue, whose contents have to be looked at before they are used.
    """
    assert loose_boundaries(ROOT / "src" / "tailored_llama") == []


def test_every_way_across_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "tailored_llama"
    files = {
        "low/__init__.py": "from tailored_llama.low.parts import Shown, alias_user, returned",
        "low/parts.py": """
            Facts = dict[str, Any]

            class Shown:
                facts: Mapping[str, object]
                def _hidden(self, given: dict[str, Any]) -> None: ...
                def method(self) -> list[dict[str, Any]]: ...

            def alias_user(facts: Facts) -> None: ...
            def returned() -> dict[str, Any]: ...
            def unused() -> dict[str, Any]: ...
            def typed(given: dict[str, int]) -> None: ...
            def attribute(*, given: Mapping[str, Any]) -> None: ...
        """,
        "low/own.py": "from tailored_llama.low.parts import unused",
        "high/__init__.py": """
            from tailored_llama.low import Shown, alias_user, parts, returned
            from tailored_llama.low.parts import typed

            parts.attribute(given={})
        """,
    }
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    assert loose_boundaries(package) == [
        "tailored_llama.low.parts.Shown: Mapping[str, object]",
        "tailored_llama.low.parts.Shown: dict[str, Any]",
        "tailored_llama.low.parts.alias_user: dict[str, Any]",
        "tailored_llama.low.parts.attribute: Mapping[str, Any]",
        "tailored_llama.low.parts.returned: dict[str, Any]",
    ]
