"""`genima approve`."""

from genima_ros.cli.terminal.service import call_service


def approve(namespace: str = "", domain: int | None = None) -> None:
    """Lets the arm execute the chunk that waits for approval.

    Example: genima approve

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("controller", "approve", namespace, domain)
