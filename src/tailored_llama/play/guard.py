"""Access control: the page answers only its own requests, sent to its own address.

A browser lets any site send requests to this machine, and a site can make its own name resolve to it (DNS
rebinding). So this check runs before everything else, CORS included, and rejects all unknown requests.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

ONLY_HERE = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the browser may load resources only from this server."""
API = "/gradio_api/"
READ = re.compile(
    r"(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon|(assets|static|svelte)/.+)?"
    r"|gradio_api/(app_id|info|startup-events|theme\.css|login_check|heartbeat/[^/]+|queue/data)"
)
"""Allowed paths of GET and HEAD, without the first slash: the page, its scripts and styles, and the answers.
"""
WRITE = {f"{API}queue/join", f"{API}cancel", f"{API}reset"}
"""Allowed paths of POST: a question, and its cancellation. None accepts a file."""
MOST_BYTES = 4_000_000
"""Maximum size of a request body."""
ADDRESS = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True)
class Place:
    """The address of the page: the host as given, its IP addresses, and the port."""

    host: str
    addresses: tuple[str, ...]
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> Place:
        """`host` is a name or an IP address, without brackets. Raises OSError if it has no address."""
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return cls(host.lower(), tuple(dict.fromkeys(str(entry[4][0]) for entry in infos)), port)

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        name = "localhost" if self._everywhere else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/"

    def has(self, authority: str) -> bool:
        """Whether `authority` (a Host header) is an address of the page.

        Accepted are the given name, its IP addresses, and `localhost`; if the page listens on all addresses
        of the machine, every IP address. No other site can have one of these as its name.
        """
        parts = ADDRESS.fullmatch(authority.lower())
        if parts is None or int(parts[2] or 80) != self.port:
            return False
        name = parts[1]
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name == self.host or (name == "localhost" and (self._everywhere or self._loopback))
        return self._everywhere or str(address) in self.addresses or (self._loopback and address.is_loopback)

    @property
    def _everywhere(self) -> bool:
        return any(ipaddress.ip_address(address).is_unspecified for address in self.addresses)

    @property
    def _loopback(self) -> bool:
        return any(ipaddress.ip_address(address).is_loopback for address in self.addresses)


class Guard:
    """An ASGI application around `app` that answers 403, in one line, to requests that are not the page's
    own.

    Every response has the header ONLY_HERE.
    """

    def __init__(self, app: Any, place: Place) -> None:
        self.app = app
        self.place = place

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = ONLY_HERE
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        reason = refusal(self.place, scope["method"], scope["path"], Headers(scope=scope))
        if reason is None:
            await self.app(scope, receive, with_policy)
        else:
            await PlainTextResponse(f"refused: {reason}\n", status_code=403)(scope, receive, with_policy)


def refusal(place: Place, method: str, path: str, headers: Headers) -> str | None:
    """Why a request is rejected, or None. The reason does not quote the request."""
    return _foreign(place, method, path, headers) or _unknown(method, path, headers)


def _foreign(place: Place, method: str, path: str, headers: Headers) -> str | None:
    """The problem with the target or origin of a request, or None."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or not place.has(hosts[0]):
        return f"this is not the page's address; open {place.url}"
    own_origin = not origins or [origin.lower() for origin in origins] == [f"http://{hosts[0].lower()}"]
    same_site = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if not own_origin or not (same_site or _opened(method, path, headers)):
        return "the request comes from another site"
    return None


def _unknown(method: str, path: str, headers: Headers) -> str | None:
    """The problem with the method, path or body of a request, or None. Questions are sent as JSON."""
    if method in ("GET", "HEAD"):
        return None if READ.fullmatch(path.removeprefix("/")) else "the page has nothing at this path"
    if method != "POST":
        return "only GET, HEAD and POST requests are accepted"
    if path not in WRITE:
        return "POST is accepted only for questions; files cannot be uploaded"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return "a question must be sent as JSON"
    length = headers.get("content-length", "")
    if not (re.fullmatch("[0-9]{1,9}", length) and int(length) <= MOST_BYTES):
        return f"a question needs a Content-Length of at most {MOST_BYTES:,} bytes"
    return None


def _opened(method: str, path: str, headers: Headers) -> bool:
    """Whether the user opens the page in a tab, for example by a link."""
    return (
        method == "GET"
        and path == "/"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
