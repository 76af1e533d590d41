"""Lines and tables of the commands that put several runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def say(console: Console, text: str, style: str = "") -> None:
    """Print `text` as it is: no markup, no highlighting, no cutting at the terminal's edge."""
    console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)


def print_table(
    console: Console, heads: tuple[str, ...], lines: list[tuple[str, ...]], *, grouped: bool = True
) -> None:
    """`lines` of cells under `heads`; what a first cell repeats is left blank.

    grouped : leave room where the first cell changes.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    before = None
    for line in lines:
        if grouped and before not in (None, line[0]):
            table.add_section()
        table.add_row(*(Text(text) for text in ("" if line[0] == before else line[0], *line[1:])))
        before = line[0]
    console.print(table)
    console.print()
