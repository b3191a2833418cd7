"""Results as JSON lines: each on the disk before the next job starts, and found again by the next process."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]
# A job that began this often without an end took the process down with it, and isn't tried again.
MOST_STARTS = 3


class ResultsError(ValueError):
    """A folder with results that don't fit the command."""

    def __init__(self, path: Path, expected: Line, got: Line):
        self.path, self.expected, self.got = path, expected, got
        differing = sorted(key for key in expected | got if expected.get(key) != got.get(key))
        told = ", ".join(f"{key} {got.get(key)} (asked for: {expected.get(key)})" for key in differing)
        super().__init__(f"{path} holds results of other settings: {told}; give another --out or the same settings")


class Results:
    """The lines of one file.

    A line has a `kind`; "begin" and "end" lines have the `job` that they belong to. What a killed process left half
    written is cut off, so a file never holds a broken line once it has been opened.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.read_bytes() if path.exists() else b""
        if not whole.endswith(b"\n") and whole:
            whole = whole[: whole.rfind(b"\n") + 1]
            path.write_bytes(whole)
        self.lines: list[Line] = [json.loads(line) for line in whole.splitlines()]
        self._ended = {line["job"]: line for line in self.lines if line["kind"] == "end"}

    def append(self, line: Line) -> None:
        """Write one line, through to the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)
        if line["kind"] == "end":
            self._ended[line["job"]] = line

    def settle(self, settings: Line, environment: Line) -> None:
        """Write the settings if the file is new, and compare them if it isn't; each process adds its environment.

        Raises: ResultsError.
        """
        found = next((line["settings"] for line in self.lines if line["kind"] == "settings"), None)
        if found is None:
            self.append({"kind": "settings", "settings": settings})
        elif found != settings:
            raise ResultsError(self.path, settings, found)
        self.append({"kind": "environment", "environment": environment})

    def ended(self, job: str) -> Line | None:
        """Return the line that a finished job left."""
        return self._ended.get(job)

    def is_deadly(self, job: str) -> bool:
        """Return whether the process died in a job as often as it was started."""
        return job not in self._ended and self._starts(job) >= MOST_STARTS

    def of(self, what: str) -> Iterator[Line]:
        """Yield the last lines of the finished jobs of a sort: "tuning", "run", "drift"."""
        yield from (line for line in self._ended.values() if line["what"] == what)

    def _starts(self, job: str) -> int:
        return sum(line["kind"] == "begin" and line["job"] == job for line in self.lines)


def read(path: Path) -> list[Line]:
    """Return the lines of a file without touching it."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
