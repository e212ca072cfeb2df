"""What the tests of pages ask a browser."""

from __future__ import annotations

import json
from typing import Any


def wait_for(browser: Any, what: Any) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(what)


def text_of(browser: Any, selector: str) -> list[str]:
    from selenium.webdriver.common.by import By

    return [found.text for found in browser.find_elements(By.CSS_SELECTOR, selector)]


def requested(browser: Any) -> set[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {url for url in urls if url.startswith(("http", "ws"))}
