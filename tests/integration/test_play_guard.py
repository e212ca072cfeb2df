"""Which requests the page of `tailor play` refuses: other names, other sites, files, unknown paths."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("gradio", reason="no gradio: pip install 'tailored-llama[play]'")

from tailored_llama.play.guard import ONLY_HERE, Guard, Place
from tailored_llama.play.page import application
from tests.support.play import HOME, JOIN, JSON, PORT, Asgi, page_of, refused

LOCAL = Place("127.0.0.1", ("127.0.0.1",), PORT)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Asgi:
    return Asgi(application(page_of(tmp_path_factory.mktemp("models") / "base"), LOCAL))


@pytest.mark.parametrize("host", [HOME, f"localhost:{PORT}", f"LocalHost:{PORT}", f"[::1]:{PORT}"])
def test_the_page_answers_under_its_own_names(ask: Asgi, host: str) -> None:
    for headers in ({"host": host}, {"host": host, "origin": f"http://{host}"}):
        response = ask("GET", "/", headers)
        assert response.status_code == 200
        assert "gradio" in response.text
        assert response.headers["content-security-policy"] == ONLY_HERE


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", f"evil.example:{PORT}", f"127.0.0.1.evil.example:{PORT}",
        f"localhost.evil.example:{PORT}",
        f"evil.example@127.0.0.1:{PORT}", "127.0.0.1", "127.0.0.1:7861", "localhost", f"10.0.0.5:{PORT}",
        f"localhost.:{PORT}", f"127.1:{PORT}", f"2130706433:{PORT}", f"0.0.0.0:{PORT}",
        f"{HOME} ,evil.example",
        f":{PORT}", "", f"127.0.0.1:{PORT}0", f"[::1]x:{PORT}", f"[]:{PORT}", f"localhost:{PORT}/",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/config"), ("POST", JOIN), ("OPTIONS", "/")]
)
def test_other_names_are_refused(ask: Asgi, host: str, method: str, path: str) -> None:
    """DNS rebinding: the name of another site, which by now stands for this machine."""
    output = refused(ask(method, path, {"host": host, "origin": f"http://{host}", **JSON}))
    assert output == f"refused: this is not the page's address; open http://{HOME}/"


def test_two_hosts_are_refused(ask: Asgi) -> None:
    scope_headers = [(b"host", HOME.encode()), (b"host", b"evil.example")]

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await ask.app({**scope, "headers": scope_headers}, receive, send)

    assert "not the page's address" in refused(Asgi(outer)("GET", "/"))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": ""},
        {"origin": f"https://{HOME}"},
        {"origin": f"http://localhost:{PORT}"}, {"origin": "http://127.0.0.1:3000"},
        {"origin": f"http://{HOME}.evil.example"},
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "x"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/config"), ("POST", JOIN), ("OPTIONS", JOIN)]
)
def test_other_sites_are_refused(ask: Asgi, headers: dict[str, str], method: str, path: str) -> None:
    requested = {"access-control-request-method": "POST", **JSON, **headers}
    assert refused(ask(method, path, requested, b"{}")) == "refused: the request comes from another site"


def test_a_link_opens_the_page_and_nothing_else(ask: Asgi) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert ask("GET", "/", link).status_code == 200
    for method, path in (
        ("GET", "/config"),
        ("GET", "/gradio_api/queue/data"),
        ("POST", JOIN),
        ("POST", "/"),
    ):
        assert "another site" in refused(ask(method, path, {**link, **JSON}, b"{}"))


UPLOAD = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nhello\r\n--x--\r\n'


@pytest.mark.parametrize(
    "path", ["upload", "upload/", "upload?upload_id=1", "stream/1", "component_server", "process_recording"]
)
@pytest.mark.parametrize("origin", [None, f"http://{HOME}"])
def test_files_are_refused(ask: Asgi, path: str, origin: str | None) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"} | ({"origin": origin} if origin else {})
    for at in (f"/gradio_api/{path}", f"/{path}", f"//gradio_api/{path}"):
        assert "files cannot be uploaded" in refused(ask("POST", at, headers, UPLOAD))
    assert "as JSON" in refused(ask("POST", JOIN, headers, UPLOAD))


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://x",
        "/gradio_api/upload_progress", "/gradio_api/custom_component/1/client/component/x.js",
        "/gradio_api/runs",
        "/gradio_api/openapi.json", "/gradio_api/stream/a/b/c/playlist.m3u8", "/monitoring", "/docs",
        "/openapi.json",
        "/gradio_api/call/a/b", "/gradio_api/vibe-code", "/gradio_api%2Ffile=/etc/passwd", "/logout",
        "/gradio_api/mcp",
    ],
)  # fmt: skip
def test_only_the_page_can_be_read(ask: Asgi, path: str) -> None:
    for method in ("GET", "HEAD"):
        assert ask(method, path).status_code == 403
    assert "nothing at this path" in refused(ask("GET", path))


def test_static_paths_stay_in_their_folder(ask: Asgi) -> None:
    for path in ("/static/..%2f..%2froutes.py", "/assets/..%2f..%2f..%2froutes.py", "/static//etc/passwd"):
        assert ask("GET", path).status_code in (403, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(ask: Asgi, method: str) -> None:
    assert "GET, HEAD and POST requests are" in refused(ask(method, JOIN, JSON))


def test_a_question_is_json_of_a_bounded_length(ask: Asgi) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        assert "as JSON" in refused(ask("POST", JOIN, {"content-type": kind}, b"{}"))
    for length in ("4000001", "-1", "x", "9" * 30):
        assert "Content-Length" in refused(ask("POST", JOIN, {**JSON, "content-length": length}, b"{}"))
    for path in ("run/answer", "api/answer", "call/answer", "call/v2/answer", "vibe-edit"):
        assert "only for questions" in refused(ask("POST", f"/gradio_api/{path}", JSON, b"{}"))


def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(None, LOCAL)({"type": "websocket"}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_place_has_the_names_of_its_addresses() -> None:
    everywhere = Place("0.0.0.0", ("0.0.0.0",), PORT)
    named = Place("box.lan", ("192.168.1.7",), PORT)
    own = Place("mybox", ("127.0.1.1",), PORT)
    assert Place("::", ("::",), PORT).has("[2001:db8::1]:7860")
    assert everywhere.url == "http://localhost:7860/"
    assert Place("::1", ("::1",), 80).url == "http://[::1]:80/"
    for name in ("192.168.1.7", "[::1]", "127.0.0.1", "localhost"):
        assert everywhere.has(f"{name}:{PORT}")
    for name in ("evil.example", "mybox", "1.2.3"):
        assert not everywhere.has(f"{name}:{PORT}")
    assert named.has("BOX.lan:7860")
    assert named.has("192.168.1.7:7860")
    for name in ("localhost", "127.0.0.1", "192.168.1.8", "x.box.lan"):
        assert not named.has(f"{name}:{PORT}")
    for name in ("mybox", "localhost", "127.0.0.1", "127.0.1.1"):
        assert own.has(f"{name}:{PORT}")
    assert Place("localhost", ("127.0.0.1",), 80).has("localhost"), "no port is port 80"
    assert Place.of("127.0.0.1", PORT) == LOCAL
