"""An emergency stop that waits behind no other message."""

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import Trigger

from genima_ros.messages import interfaces
from genima_ros.nodes.base import unspun_node


class EmergencyStop:
    """The service ~/emergency_stop of a node, answered by `poll`, which the node calls before whatever else it does.

    It belongs to a node that nobody spins: an executor would call it behind all messages that wait already.
    """

    def __init__(self, node: Node, stop: Callable[[], str]) -> None:
        self._stop = stop
        own, namespace = f"{node.get_name()}_emergency_stop", node.get_namespace()
        self._node = unspun_node(own, node.context, namespace=namespace, use_global_arguments=False)
        name = node.resolve_service_name(interfaces.SERVICES["emergency_stop"].name)
        self._service = self._node.create_service(Trigger, name, lambda request, response: response)

    def poll(self) -> None:
        """Stops if somebody called since the last time."""
        while True:
            with self._service.handle:
                request, header = self._service.handle.service_take_request(Trigger.Request)
            if request is None:
                return
            self._service.send_response(Trigger.Response(success=True, message=self._stop()), header)

    def close(self) -> None:
        self._node.destroy_node()
