"""Commands that must be refused."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[..., str]
