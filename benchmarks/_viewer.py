"""A viewer of the console without a browser: it reads what the page reads, and presses what a hand presses."""

import http.client
import threading
from collections import Counter
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import viser
import websockets.sync.client
import zstandard
from websockets.exceptions import ConnectionClosed

CAMERA = {
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (1.0, 1.0, 1.0),
    "fov": 1.0,
    "near": 0.01,
    "far": 100.0,
    "image_height": 600,
    "image_width": 800,
    "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, 0.0, 1.0),
}
FOUND_S = 30.0


class Viewer:
    """Use it as a context manager. With `stalled` it connects and never reads."""

    def __init__(self, address: str, stalled: bool = False, headers: dict[str, str] | None = None) -> None:
        url = urlsplit(address)
        given = dict(headers or {})
        if url.query:
            given["Cookie"] = fetch_cookie(address)
        self._socket = websockets.sync.client.connect(
            f"ws://{url.netloc}/",
            subprotocols=[f"viser-v{viser.__version__}"],  # type: ignore[list-item]  # a name is a subprotocol
            additional_headers=given,
            max_size=None,
            ping_timeout=None,
            max_queue=1 if stalled else 64,
        )
        self.elements: dict[str, dict[str, Any]] = {}
        """By uuid or name: what it is made of, with what changed since; `type` is its kind."""
        self.changes: Counter[str] = Counter()
        """By uuid or name."""
        self._news = threading.Condition()
        self._send("ViewerCameraMessage", **CAMERA)
        self._thread = threading.Thread(target=self._read, daemon=True)
        if not stalled:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close_socket() if not self._thread.ident else self._socket.close()

    def find(self, kind: str, label: str) -> str:
        """The uuid of the element of this kind and label; LookupError if there is none in time."""

        def found() -> str | None:
            fits = ((u, e) for u, e in self.elements.items() if kind in e["type"])
            return next((uuid for uuid, e in fits if label in (e.get("label"), e.get("_label"))), None)

        with self._news:
            if not self._news.wait_for(lambda: found() is not None, FOUND_S):
                raise LookupError(f"the page has no {kind} {label!r}")
            return str(found())

    def press(self, label: str, group: str = "") -> None:
        """A button, or one of a group."""
        if group:
            self.set(group, label)
        else:
            self._send("GuiUpdateMessage", uuid=self.find("GuiButtonMessage", label), updates={"value": True})

    def set(self, label: str, value: object) -> None:
        self._send("GuiUpdateMessage", uuid=self.find("Gui", label), updates={"value": value})

    def trigger(self, label: str) -> None:
        """A command, as its key does."""
        self._send("CommandTriggerMessage", uuid=self.find("RegisterCommand", label))

    def drag(self, name: str, position: tuple[float, ...], wxyz: tuple[float, ...]) -> None:
        self._send("TransformControlsUpdateMessage", name=name, position=position, wxyz=wxyz, owner="")

    def begin_drag(self, name: str) -> None:
        self._send("TransformControlsDragStartMessage", name=name, owner="")

    def end_drag(self, name: str) -> None:
        self._send("TransformControlsDragEndMessage", name=name, owner="")

    def texts(self) -> str:
        """All HTML of the page that is shown."""
        shown = (e for e in list(self.elements.values()) if e["type"] == "GuiHtmlMessage" and e.get("visible", True))
        return "\n".join(e["content"] for e in shown)

    def value(self, label: str) -> Any:
        return self.elements[self.find("Gui", label)]["value"]

    def pictures(self) -> int:
        """How often the picture of the cameras changed."""
        images = [u for u, e in list(self.elements.items()) if e["type"] == "GuiImageMessage"]
        return max((self.changes[uuid] for uuid in images), default=0)

    def _send(self, kind: str, **fields: object) -> None:
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))

    def _read(self) -> None:
        while True:
            try:
                data = self._socket.recv()
            except ConnectionClosed:
                return
            assert isinstance(data, bytes)
            size = int.from_bytes(data[8:16], "little")
            inner = zstandard.ZstdDecompressor().decompress(data[16 : 16 + size], int.from_bytes(data[:8], "little"))
            with self._news:
                for message in msgspec.msgpack.decode(inner)["messages"]:
                    self._take(message)
                self._news.notify_all()

    def _take(self, message: dict[str, Any]) -> None:
        key = message.get("uuid") or message.get("name")
        if key is None:
            return
        if "props" in message:
            value = {"value": message["value"]} if "value" in message else {}
            self.elements[key] = {"type": message["type"], **message["props"], **value}
        elif "updates" in message:
            self.elements.setdefault(key, {"type": "?"}).update(message["updates"])
            self.changes[key] += "_data" in message["updates"] or "content" in message["updates"]
        elif "Remove" in message["type"]:
            self.elements.pop(key, None)
        else:
            self.elements.setdefault(key, {"type": "?"})[message["type"]] = message


def fetch_cookie(address: str) -> str:
    """What a browser keeps after it opened an address with a token; PermissionError where that is refused."""
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.netloc, timeout=FOUND_S)
    connection.request("GET", f"{url.path or '/'}?{url.query}")
    response = connection.getresponse()
    if response.status != 302:
        raise PermissionError(f"{response.status}: {response.read().decode().strip()}")
    return str(response.headers["Set-Cookie"]).partition(";")[0]
