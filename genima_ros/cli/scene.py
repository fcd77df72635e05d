"""`genima scene`."""

from genima_ros.cli.terminal.service import call_service


def scene(namespace: str = "", domain: int | None = None) -> None:
    """Lays out the next scene of a simulated cell.

    Example: genima scene

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("sim", "reset", namespace, domain)
