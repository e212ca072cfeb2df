"""Ranges of config values as pydantic annotations, for those of a family too (`Family.numbers`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positions = Annotated[int, Field(ge=1, le=2**31 - 1)]
Theta = Annotated[float, Field(gt=1, le=1e15)]
Partial = Annotated[float, Field(gt=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
Cap = Annotated[float, Field(gt=0, le=1e9)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Switches = list[Annotated[int, Field(ge=0, le=1)]]
