"""Progress on standard error with the time left; silent where nobody watches."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# One console for all bars: rich draws a run's bar under the comparison's only if they share it.
_CONSOLE = Console(stderr=True)


def progress_bar(*, is_shown: bool = True) -> Progress:
    """Return a bar that disappears when done, and that isn't drawn if standard error is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("elapsed,"), TimeRemainingColumn(), TextColumn("left"))
    return Progress(*columns, *times, console=_CONSOLE, transient=True, disable=not (is_shown and _CONSOLE.is_terminal))
