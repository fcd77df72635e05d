"""`genima stop`."""

from genima_ros.cli.terminal.service import call_service


def stop(emergency: bool = False, namespace: str = "", domain: int | None = None) -> None:
    """Stops the arm smoothly; nothing moves until `genima enable`.

    With --emergency as fast as the limits allow: then the streamer is in FAULT until `genima reset`. That does not
    replace the button on the robot.

    Example: genima stop --emergency

    Args:
        emergency: As fast as the limits allow, into FAULT.
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("streamer", "emergency_stop" if emergency else "stop", namespace, domain, again=True)
