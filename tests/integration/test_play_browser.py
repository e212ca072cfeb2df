"""`tailor play` as a person meets it: in a real browser, which reports whatever it fetches."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browsing import requested, text_of, wait_for


@pytest.fixture
def address(browser: Any) -> Iterator[str]:
    """The page of a running `tailor play`, asked for after the browser, which may not be there."""
    pytest.importorskip("gradio", reason="no gradio: pip install 'tailored-llama[play]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tailored_llama", "play", "world", "world", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield server.stdout.readline().split()[0]
    server.terminate()
    server.wait(timeout=30)


def test_a_person_asks_two_models_the_same(browser: Any, address: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    assert address.startswith("http://127.0.0.1:")
    browser.get(address)
    ask = wait_for(browser, lambda b: b.find_element(By.CSS_SELECTOR, "#ask"))
    assert text_of(browser, ".tl-model h2") == ["world (1)", "world (2)"]

    # A question of a task, as a row of it.
    browser.find_element(By.CSS_SELECTOR, "#take").click()
    prompt = browser.find_element(By.CSS_SELECTOR, "#prompt textarea")
    wait_for(browser, lambda _: prompt.get_attribute("value"))
    assert (
        len(browser.find_element(By.CSS_SELECTOR, "#choices textarea").get_attribute("value").split("\n")) > 1
    )
    ask.click()
    wait_for(browser, lambda b: len(text_of(b, ".tl-speeds")) == 2)
    assert all(text_of(browser, ".tl-text"))
    shares = [float(text.rstrip("%")) for text in text_of(browser, ".tl-value")]
    half = len(shares) // 2
    assert shares[:half] == shares[half:]
    assert sum(shares[:half]) == pytest.approx(100, abs=0.2)
    assert text_of(browser, ".tl-right") == ["right"] * 2
    assert all("tokens/s" in text for text in text_of(browser, ".tl-speeds"))

    # A mistake is said on the page, in its one line.
    prompt.send_keys(Keys.CONTROL, "a")
    prompt.send_keys(Keys.DELETE)
    ask.click()
    wait_for(browser, lambda b: "the prompt is empty" in b.find_element(By.TAG_NAME, "body").text)

    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    fetched = requested(browser)
    assert len(fetched) > 5
    assert all(url.startswith(address.rstrip("/")) for url in fetched), fetched
