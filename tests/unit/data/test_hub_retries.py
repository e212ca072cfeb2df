"""A hub that does not answer is reported after one retry, and what is in the cache is used without it."""

from __future__ import annotations

import time
from typing import Any

import datasets
import huggingface_hub
import pytest
from huggingface_hub import constants

from tailored_llama.data import hub
from tailored_llama.data.rows import Source, read_rows
from tailored_llama.errors import DataError


class Session:
    """Answers the first requests with an error, and the rest with a page."""

    def __init__(self, failures: int) -> None:
        self.failures, self.requests = failures, 0

    def head(self, url: str, timeout: float) -> None:
        self.requests += 1
        if self.requests <= self.failures:
            raise ConnectionError(url)


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (constants, datasets.config):
        monkeypatch.setattr(place, "HF_HUB_OFFLINE", False)


def session(monkeypatch: pytest.MonkeyPatch, failures: int) -> Session:
    made = Session(failures)
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: made)
    return made


@pytest.mark.usefixtures("online")
def test_no_network_is_reported_after_one_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    made = session(monkeypatch, failures=9)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"the hub does not answer .*give a local directory") as refused:
        read_rows("quiz", Source(hub="nosuch/quiz"), "test")
    assert made.requests == 2
    assert time.monotonic() - started < 5
    assert "\n" not in str(refused.value)
    assert (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE) == (False, False)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize(("failures", "offline"), [(0, False), (1, False), (2, True)])
def test_the_library_is_online_where_the_hub_answers(
    failures: int, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    session(monkeypatch, failures)
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *what, **how: seen.append((what, how, constants.is_offline_mode()))
    )
    hub.load_dataset("a/b", split="test")
    assert seen == [(("a/b",), {"split": "test"}, offline)]
