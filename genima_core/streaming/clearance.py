"""Keeps commands out of contact: one is given only if the arm can still stop free of contact after it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from genima_core.types import Contact

TOLERANCE_M = 5e-4
"""A body with facets that turns in its place is nearer and further by this much."""


class Clearance(Protocol):
    """Knows where the arm is too near to something; `sim.collision.ClearanceModel` does."""

    def find(self, path: np.ndarray, allowed: Mapping[tuple[str, str], float]) -> Contact | None:
        """The first contact on a path (n, 7) rad, or None.

        Two bodies in `allowed` may be so near, as a clearance in m: at most 0.
        """

    def contacts(self, q: np.ndarray) -> tuple[Contact, ...]:
        """All pairs of bodies that are too near to each other at q (7,)."""


class Guard:
    """Looks at the way to rest from each command, before it is given.

    What was looked at stays allowed: where a command is refused, the stop from the one before it is free. Bodies that
    are too near to each other at the start may stay so or part, but not come nearer.
    """

    def __init__(self, clearance: Clearance, start: np.ndarray):
        self._clearance = clearance
        self._allowed = _allow(clearance.contacts(start))

    def look(self, ways: tuple[np.ndarray, ...]) -> Contact | None:
        """The first contact on paths (n, 7), or None."""
        for way in ways:
            contact = self._clearance.find(way, self._allowed)
            if contact is not None:
                return contact
        return None

    def leave(self, q: np.ndarray) -> None:
        """The command is at q (7,): what clearance was gained must not be lost."""
        if self._allowed:
            now = _allow(self._clearance.contacts(q))
            self._allowed = {pair: max(least_m, now[pair]) for pair, least_m in self._allowed.items() if pair in now}


def _allow(contacts: tuple[Contact, ...]) -> dict[tuple[str, str], float]:
    return {contact.bodies: contact.clearance_m - TOLERANCE_M for contact in contacts}


def say(contact: Contact) -> str:
    """One sentence for the operator."""
    one, other = contact.bodies
    return (
        f"Going on would bring {one} and {other} to {1e3 * contact.distance_m:.0f} mm of each other (limit "
        f"{1e3 * contact.least_m:.0f} mm); the arm stops before: send it elsewhere, or change the margins."
    )
