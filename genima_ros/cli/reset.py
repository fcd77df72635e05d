"""`genima reset`."""

from genima_ros.cli.terminal.service import call_service


def reset(namespace: str = "", domain: int | None = None) -> None:
    """Clears the streamer's FAULT; the arm stays still until `genima enable`.

    Example: genima reset

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("streamer", "reset_fault", namespace, domain)
