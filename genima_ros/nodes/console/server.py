"""The page's server: viser's, with a guard before it that lets nobody in whom the operator did not let in."""

import hmac
import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import viser
import websockets.asyncio.server as websocket_server
from viser import _messages as viser_messages
from websockets import Headers
from websockets.http11 import Request, Response

from genima_ros.nodes.console.address import LOOPBACK, address_of, choose_port

TOKEN_LETTERS = 12
"""At least, of a token that somebody chooses."""
STOP_WHILE_TYPING = """
if (!window.genimaStops) {
    window.genimaStops = true;
    document.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || !event.isTrusted || !event.target.matches("input, textarea, select")) return;
        event.target.blur();
        const again = {key: "Escape", code: "Escape", bubbles: true};
        document.body.dispatchEvent(new KeyboardEvent("keydown", again));
    }, true);
}
"""
"""Hotkeys of viser do not work while something is typed; the emergency stop's has to."""


@dataclass(frozen=True)
class Guard:
    """Who may load the page and open its websocket: decided before either, by the head of the request."""

    host: str
    token: str
    """"" on this machine only."""

    def check(self, request: Request) -> Response | None:
        """What to answer instead of the page; None lets the request through."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refuse(HTTPStatus.FORBIDDEN, "a page of another site may not use this console")
        if not self.token:
            known = urlsplit(f"//{host}").hostname in (*LOOPBACK, self.host)
            return None if known else _refuse(HTTPStatus.FORBIDDEN, f"open http://{self.host} instead of {host}")
        url = urlsplit(request.path)
        cookie = f"genima_console_{urlsplit(f'//{host}').port or 80}"
        if given := parse_qs(url.query).get("token"):
            if _equal(given[0], self.token):
                set_cookie = f"{cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
                headers = Headers({"Location": "/", "Set-Cookie": set_cookie, "Content-Length": "0"})
                return Response(HTTPStatus.FOUND, HTTPStatus.FOUND.phrase, headers)
            return _refuse(HTTPStatus.UNAUTHORIZED, "wrong token: open the address that the console printed")
        pairs = (part.strip().partition("=") for part in request.headers.get("Cookie", "").split(";"))
        if any(name == cookie and _equal(value, self.token) for name, _, value in pairs):
            return None
        return _refuse(HTTPStatus.UNAUTHORIZED, "this console needs a token: open the address that it printed")


def _equal(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _refuse(status: HTTPStatus, text: str) -> Response:
    body = f"{text}\n".encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    return Response(status, status.phrase, headers, body)


def choose_token(host: str, token: str) -> str:
    """The token that a host needs, made where none is given; ValueError for one that is easily guessed."""
    if token and (len(token) < TOKEN_LETTERS or not token.isascii() or not token.isalnum()):
        raise ValueError(f"token has {len(token)} characters; give at least {TOKEN_LETTERS}, letters and digits")
    return token or ("" if host in LOOPBACK else secrets.token_hex(TOKEN_LETTERS))


def serve(host: str, port: int, token: str, wish: bool = False) -> tuple[viser.ViserServer, str]:
    """A server that runs, and the address to open; ValueError as `choose_token` and `choose_port` say."""
    token, port = choose_token(host, token), choose_port(host, port, wish)
    with _guarded(Guard(host, token)), redirect_stdout(io.StringIO()):  # its banner names an address without a token
        server = viser.ViserServer(host, port, verbose=False)
    if server.get_port() != port:  # viser takes the next one without a word
        server.stop()
        raise ValueError(f"port {port} of {host} was taken just now; start the console again")
    # Anybody with the page could have viser publish it on the internet otherwise.
    for kind in (viser_messages.ShareUrlRequest, viser_messages.ShareUrlDisconnect):
        server._websock_server.unregister_handler(kind)
    server._websock_server.queue_message(viser_messages.RunJavascriptMessage(STOP_WHILE_TYPING))
    return server, address_of(host, port, token)


@contextmanager
def _guarded(guard: Guard) -> Iterator[None]:
    """A server that viser starts inside asks the guard first: viser itself has no place for that."""
    original = websocket_server.serve

    def guarded(*args: Any, process_request: Any, **options: Any) -> Any:
        def process(connection: Any, request: Request) -> Response | None:
            return guard.check(request) or process_request(connection, request)

        return original(*args, process_request=process, **options)

    websocket_server.serve = guarded  # type: ignore[assignment, misc]  # only while viser starts
    try:
        yield
    finally:
        websocket_server.serve = original  # type: ignore[misc]  # as above
