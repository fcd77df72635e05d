"""One call of a running graph's service, from the command line."""

from genima_ros.graph.domain import join_domain

ANSWER_S = 10.0
"""A service that exists is found, and answers, within this time even on busy cores."""


def call_service(
    node: str, service: str, namespace: str, domain: int | None, again: bool = False, **request: object
) -> None:
    """Calls a node's service and prints what it answers; `again`: it may be called several times until it answers.

    Raises:
        RuntimeError: nobody offers it, it does not answer, or it refuses.
    """
    from genima_ros.clients.observer import Observer  # not at the top: `--help` works without ROS

    prefix = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
    with Observer(join_domain(domain), f"genima_{service}") as observer:
        print(observer.call(f"{prefix}{node}", service, ANSWER_S, again, **request).message or "done")
