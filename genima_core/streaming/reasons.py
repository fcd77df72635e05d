"""What the streamer says while nothing moves, and which refusals stop nothing."""

WAITING = "Waiting for a chunk."
EMERGENCY = "The emergency stop was called. When nobody is in danger, reset the fault, then enable."
DISABLED = "The streamer is disabled; enable it to move the arm."
ARM_UNKNOWN, ARM_SILENT = "Waiting for the arm's status.", "No status of the arm"
ARM_REPORTS, ARM_ELSEWHERE = "The arm reports", "The arm is not to be moved:"
"""How the reasons begin that come from the arm's status."""
HARMLESS = ("busy", "older", "disabled", "fault", "waiting", "late", "locked")
"""Kinds of refusal that say nothing against what the arm is doing now, so they stop nothing."""
