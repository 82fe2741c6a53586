"""What a gate tells besides the comparison: how far it is, where its files are, what is next."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from rich.progress import TaskID
from rich.text import Text

from conformance.case import all_cases
from conformance.judging.comparison import Comparison, Row
from conformance.report import text
from conformance.report.text import line
from conformance.versions.runs import Progress

LOG_LINES = 10
"""Lines of progress of the runs of a gate in a log that is no terminal."""


class Watcher:
    """Shows how far some runs are: bars in a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self._where = text.console(stderr=True)
        self._bars = text.progress(self._where)
        self._tasks: dict[str, TaskID] = {}
        self._seen: dict[str, Progress] = {}
        self._told = 0
        self._open = ExitStack()

    def __enter__(self) -> "Watcher":
        self._open.enter_context(self._bars)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def say(self, what: str) -> None:
        """Tell what begins."""
        text.show(self._where, line(what))
        self._seen, self._told = {}, 0

    def watch(self, progress: Mapping[str, Progress]) -> None:
        """Take in how far the runs are."""
        self._seen.update(progress)
        for name, each in progress.items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=None)
            self._bars.update(self._tasks[name], completed=each.done, total=each.planned or None)
        if not self._where.is_terminal:
            self._log()

    def _log(self) -> None:
        done = sum(each.done for each in self._seen.values())
        planned = sum(each.planned for each in self._seen.values())
        enough = max(1, planned // LOG_LINES)
        if done - self._told >= enough or done == planned > self._told:
            text.show(self._where, line(self._sentence()))
            self._told = done

    def _sentence(self) -> str:
        return ", ".join(
            f"{name} {each.done} of {each.planned} cases"
            for name, each in self._seen.items()
            if each.planned
        )


def ending(
    found: Comparison, files: Mapping[str, Path], seconds: Mapping[str, float]
) -> Iterator[Text]:
    """Yield the last lines: where the results are, what they took, and what to look at next."""
    yield Text()
    yield line("results: " + ", ".join(map(str, files.values())))
    yield line("took: " + ", ".join(f"{name} {took:.1f} s" for name, took in seconds.items()))
    worst = _worst(found)
    if worst is not None:
        side = "candidate" if worst.after else "baseline"
        round_trip = f"conformance show {worst.case} --results {files[side]}"
        drawn = f"conformance matrix {files.get('exchange')}"
        yield line(f"look: {round_trip if worst.case in all_cases() else drawn}")


def _worst(found: Comparison) -> Row | None:
    """Return a row of the worst cause."""
    rows = {row.case: row for row in (*found.broken, *found.lost)}
    causes = (*found.causes(found.broken), *found.causes(found.lost))
    return next((rows[group.cases[0]] for group in causes), None) or next(iter(rows.values()), None)


def no_answer(reason: str, *, resumable: bool) -> str:
    """Return the one line of a gate that came to no comparison."""
    go_on = "; the same command with --resume goes on, and nothing measured is lost"
    return f"Inconclusive: {reason}{go_on if resumable else ''}"
