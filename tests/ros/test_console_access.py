"""Who may open the console's page, where it is served, and whom it refuses."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("viser")

from http.client import HTTPConnection
from urllib.parse import urlsplit

from websockets.exceptions import InvalidStatus

from genima_ros.nodes.console_node import ConsoleNode

from .console_cell import viewers

pytestmark = pytest.mark.ros


def get(address: str, **headers: str) -> tuple[int, str]:
    url = urlsplit(address)
    connection = HTTPConnection("127.0.0.1", url.port, timeout=20)
    connection.request("GET", f"{url.path}?{url.query}", headers=headers)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_beyond_this_machine_the_page_needs_its_token(bench, cell):
    console = bench.node(ConsoleNode, parameters={"host": "0.0.0.0"})
    url = urlsplit(console.address)
    plain, token = f"http://127.0.0.1:{url.port}/", url.query.removeprefix("token=")
    assert len(token) >= 12
    assert get(plain) == (401, "this console needs a token: open the address that it printed\n")
    assert get(f"{plain}?token=123456789012")[0] == 401
    with pytest.raises(PermissionError, match="wrong token"):
        viewers.Viewer(f"{plain}?token=wrong")
    with pytest.raises(InvalidStatus, match="401"):
        viewers.Viewer(plain)
    with viewers.Viewer(f"{plain}?{url.query}") as viewer:
        bench.until(lambda: viewer.pictures() > 0)


def test_pages_of_other_sites_may_neither_load_it_nor_press_its_buttons(bench):
    console = bench.node(ConsoleNode)
    assert get(console.address)[0] == 200
    assert get(console.address, Origin="http://evil.example")[0] == 403
    assert get(console.address, Host="evil.example:8080") == (
        403,
        "open http://127.0.0.1 instead of evil.example:8080\n",
    )
    with pytest.raises(InvalidStatus, match="403"):
        viewers.Viewer(console.address, headers={"Origin": "http://evil.example"})


def test_a_port_that_is_taken_is_refused_and_the_next_one_used_if_none_is_asked_for(bench):
    first = bench.node(ConsoleNode)
    port = urlsplit(first.address).port
    with pytest.raises(ValueError, match=f"cannot listen on 127.0.0.1 port {port} .*in use.*choose another"):
        bench.node(ConsoleNode, parameters={"port": port})
    assert urlsplit(bench.node(ConsoleNode).address).port > port
    assert urlsplit(bench.node(ConsoleNode, parameters={"port": port, "wish": True}).address).port > port


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"token": "short"}, "token has 5 characters; give at least 12"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1 .*an address of this machine"),
        ({"port": 70000}, "port is 70000"),
        ({"rate_hz": 0.0}, "rate_hz is 0.0"),
    ],
)
def test_unusable_parameters_are_refused_with_a_remedy(bench, parameters, message):
    with pytest.raises(ValueError, match=message):
        bench.node(ConsoleNode, parameters=parameters)


def test_a_page_cannot_have_itself_published_on_the_internet(bench):
    from viser import _messages

    server = bench.node(ConsoleNode).server
    assert _messages.ShareUrlRequest not in server._websock_server._incoming_handlers
