"""Findings as a table for the terminal: status, what, and what was found with the remedy below it."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def status_table(rows: Iterable[tuple[str, str, str, str]], colours: Mapping[str, str]) -> "Table":
    """Of rows with a status, a name, what was found, and a remedy or ""; `colours` are rich's styles by status."""
    from rich.table import Table
    from rich.text import Text

    result = Table(box=None, show_header=False, pad_edge=False)
    for status, name, found, remedy in rows:
        text = Text(found, overflow="fold")
        if remedy:
            text.append(f"\n-> {remedy}", style="bold")
        result.add_row(Text(status, style=colours[status]), Text(name, no_wrap=True), text)
    return result
