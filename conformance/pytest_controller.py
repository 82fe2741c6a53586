"""The part of the pytest face that sees all cases: under xdist it runs none itself."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from conformance.case import all_cases, default_cases
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation
from conformance.judging.results import Selection
from conformance.judging.summary import ExitCode, exit_code
from conformance.report import text
from conformance.roundtrip.outcome import Outcome
from conformance.session import Session, open_results

PROPERTY = "conformance outcome"
"""The user property that carries an outcome from the item to the controller."""

# Behind the id of a case, xdist writes the group.
ITEM = re.compile(r"::test_comes_back_as_saved\[([^\]]+)\]")


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn our usage errors into pytest's: one line, exit code 4."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the items of a case's group together, and other items one by one."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.partition("[")[2].rstrip("]")
        return groups().get(name, nodeid)


@cache
def groups() -> dict[str, str]:
    """Return the group of every name that an item may have: a case, a model, or a subject."""
    named: dict[str, str] = {}
    for case in all_cases().values():
        for name in (case.id, case.quantized, f"{case.subject.name}.{case.device}"):
            named.setdefault(name, case.group)
    return named


class Controller:
    """Judges outcomes as they arrive, writes the results, and ends with a summary."""

    def __init__(self, config: pytest.Config, expectations: tuple[Expectation, ...]) -> None:
        self.config = config
        self.run = Session((), expectations)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Open the results file as soon as it is known how many cases there will be."""
        self._plan([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Send all cases of a group to one worker, so that a model is built once.

        Not by `--dist loadgroup`: xdist 3.8 rewrites `item._nodeid`, which pytest 9.2 ignores.
        """
        return GroupScheduling(config, log) if config.option.dist == "load" else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Do the same under xdist, where only workers collect."""
        self._plan(ids)

    def _plan(self, nodeids: list[str]) -> None:
        found = [match[1] for nodeid in nodeids if (match := ITEM.search(nodeid))]
        if self.run.cases or not found or self.config.option.collectonly:
            return
        self.run.cases = tuple(all_cases()[case_id] for case_id in found)
        options = self.config.option
        if options.results is not None:
            chosen = Selection(tuple(options.select), tuple(filter(None, [options.markexpr])))
            with usage_errors():
                self.run.results = open_results(options.results, len(found), chosen)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in an outcome."""
        for name, outcome in report.user_properties:
            if name == PROPERTY and report.when == "call":
                self.run.add(Outcome.from_json(json.loads(str(outcome))))

    @property
    def unused(self) -> tuple[str, ...]:
        """Expectations that a full run did not use."""
        return self.run.unused(default_cases())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the results; nothing measured, or an unused expectation, is red."""
        if not self.run.cases:
            return
        if self.run.results is not None:
            self.run.results.unused = self.unused
            self.run.results.close(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
        as_expected = exit_code(self.run.tally, self.unused) is ExitCode.AS_EXPECTED
        if exitstatus == pytest.ExitCode.OK and not as_expected:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts by verdict, then the causes, worst first."""
        if not self.run.cases:
            return
        terminalreporter.section("conformance")
        planned = len(self.run.cases)
        summary = text.summary(self.run.tally, self.run.causes, self.unused, planned=planned)
        terminalreporter.write(text.to_text(summary))
        if self.config.option.results is not None:
            state = "results" if self.run.complete else "partial results"
            terminalreporter.write_line(f"\n{state}: {self.config.option.results}")
