"""Findings as a table for the terminal."""

from collections.abc import Iterable

COLOURS = {"ok": "green", "warning": "yellow", "optional": "yellow", "failed": "bold red", "missing": "bold red"}


def print_statuses(rows: Iterable[tuple[str, str, str, str]], last: str) -> None:
    """Rows with a status, a name, what was found, and a remedy or "" for below it; a last line in rich's markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for status, name, found, remedy in rows:
        text = Text(found, overflow="fold")
        if remedy:
            text.append(f"\n-> {remedy}", style="bold")
        table.add_row(Text(status, style=COLOURS[status]), Text(name, no_wrap=True), text)
    console = Console()
    console.print(table)
    console.print(last)
