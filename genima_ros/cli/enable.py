"""`genima enable`."""

from genima_ros.cli.terminal.service import call_service


def enable(namespace: str = "", domain: int | None = None) -> None:
    """Lets the streamer command the arm.

    Nobody may be near the arm: it moves as soon as a policy or a leader wants it to.

    Example: genima enable

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("streamer", "enable", namespace, domain, data=True)
