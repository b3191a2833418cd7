"""Progress on standard error with the time left; silent where nobody watches."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# One console for all bars: rich draws a run's bar under the comparison's only if they share it.
_CONSOLE = Console(stderr=True)


def progress_bar(*, is_shown: bool = True, left: ProgressColumn | None = None) -> Progress:
    """Return a bar that disappears when done, and that isn't drawn if standard error is no terminal.

    left: the column that says how long it will still take, rich's own estimate by default.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("elapsed,"), left or TimeRemainingColumn(), TextColumn("left"))
    return Progress(*columns, *times, console=_CONSOLE, transient=True, disable=not (is_shown and _CONSOLE.is_terminal))
