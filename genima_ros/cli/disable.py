"""`genima disable`."""

from genima_ros.cli.terminal.service import call_service


def disable(namespace: str = "", domain: int | None = None) -> None:
    """Ends motion smoothly, and keeps the arm still until `genima enable`.

    Example: genima disable

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("streamer", "enable", namespace, domain, data=False)
