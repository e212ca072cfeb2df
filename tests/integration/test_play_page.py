"""Tasks on the page of `tailor play`, its errors, and the page as it is served."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

gradio = pytest.importorskip("gradio", reason="no gradio: pip install 'tailored-llama[play]'")

import httpx  # noqa: E402

from tailored_llama.cli import execute  # noqa: E402
from tailored_llama.errors import OutputError, TaskError  # noqa: E402
from tailored_llama.play import serving  # noqa: E402
from tailored_llama.play.guard import Place  # noqa: E402
from tailored_llama.play.page import _with_errors_shown, served  # noqa: E402
from tailored_llama.play.questions import names, on_page  # noqa: E402
from tests.support.play import JOIN, page_of, refused  # noqa: E402


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return page_of(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.yaml"
    path.write_text("password: hunter2\nkind: hunter3\n", encoding="utf-8")
    return path


def test_a_path_typed_on_the_page_is_not_opened(secret: Path, tmp_path: Path) -> None:
    offered = names([], {})
    texts = []
    for path in (
        secret,
        tmp_path / "absent.yaml",
        tmp_path,
        "~/.config/x.yaml",
        "../world_piqa",
        "world_piqa.yaml",
    ):
        with pytest.raises(TaskError) as error:
            on_page(str(path), offered)
        texts.append(str(error.value).replace(str(path), "PATH"))
        assert "hunter" not in texts[-1]
    assert texts[0] == texts[1].replace("absent", "secret"), "whether a file exists is not told"
    assert on_page("world_piqa", offered) == on_page("world_piqa", []) == "world_piqa"


def test_a_task_file_named_at_the_start_is_offered(secret: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        (resources.files("tailored_llama.data") / "tasks" / "boolq.yaml").read_text("utf-8"), "utf-8"
    )
    offered = names([], {}, [str(own)])
    assert offered[0] == str(own)
    assert on_page(str(own), offered) == str(own)
    with pytest.raises(TaskError, match=r"secret\.yaml"):
        names([], {}, [str(secret)])


def test_an_error_on_the_page_is_text() -> None:
    def wrong() -> None:
        raise TaskError("no task '<img src=x onerror=alert(1)>' & more")

    with pytest.raises(gradio.Error) as error:
        _with_errors_shown(wrong)
    assert error.value.message == "no task '&lt;img src=x onerror=alert(1)&gt;' &amp; more"


@pytest.fixture
def address(page: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page, served."""
    from tailored_llama.play import models
    from tailored_llama.play import page as pages

    monkeypatch.setattr(models, "load_players", lambda *_: [])
    monkeypatch.setattr(pages, "build", lambda *_: page)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(["base"], port=port) as found:
        yield found


def events(address: str, function: int, data: list[Any]) -> list[dict[str, Any]]:
    """What the server answers to one press of a button."""
    body = {"data": data, "fn_index": function, "session_hash": "s", "event_data": None, "trigger_id": None}
    found = []
    with httpx.Client(base_url=address, headers={"origin": address.rstrip("/")}, timeout=30) as client:
        joined = client.post(JOIN, json=body)
        assert joined.status_code == 200, joined.text
        with client.stream("GET", "/gradio_api/queue/data?session_hash=s") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    found.append(json.loads(line.removeprefix("data:")))
                    if found[-1]["msg"] in ("process_completed", "close_stream"):
                        return found
    return found


def test_a_question_is_answered_and_a_path_is_not(address: str, secret: Path) -> None:
    config = httpx.get(f"{address}config").json()
    calls = {call["api_name"] or index: call["id"] for index, call in enumerate(config["dependencies"])}
    worded, taken, answered = list(calls.values())[:3]
    answer = events(address, answered, ["Once there was a", "cat\ndog", 3, None])[-1]
    assert answer["success"]
    assert "%" in str(answer["output"]["data"])
    assert "world_" in str(config["components"])
    for function, data in ((worded, [str(secret)]), (taken, [str(secret), "paper", 1])):
        answer = events(address, function, data)[-1]
        assert not answer["success"]
        assert "on this page" in answer["output"]["error"]
        assert "hunter" not in json.dumps(answer)
    with httpx.Client(base_url=address) as client:
        assert "not the page's address" in refused(client.get("/", headers={"host": "evil.example"}))
        assert "files cannot be uploaded" in refused(
            client.post("/gradio_api/upload", files={"files": ("a.txt", b"hello", "text/plain")})
        )


def test_the_port_is_free_after_the_block(page: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = Place.of("127.0.0.1", free.getsockname()[1])
    with served(page, place) as address:
        assert httpx.get(address).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a..b"])
def test_a_host_of_another_machine_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(OutputError, match="an address of this machine with --host"),
        serving(["world"], host=host),
    ):
        pass
    assert execute(["play", "world", "--host", host]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert host in line
