"""`genima resume`."""

from genima_ros.cli.terminal.service import call_service


def resume(namespace: str = "", domain: int | None = None) -> None:
    """Lets a policy continue that the target gate paused.

    Drawings from before are forgotten.

    Example: genima resume

    Args:
        namespace: Of the graph's nodes, such as /cell1.
        domain: ROS domain; by default ROS_DOMAIN_ID.
    """
    call_service("controller", "resume", namespace, domain)
