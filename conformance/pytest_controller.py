"""The part of the pytest face that sees all cases: under xdist it runs none itself."""

import json
from collections.abc import Iterable
from typing import Any, cast

import pytest

from conformance.case import default_cases, find
from conformance.judging.expectations import Expectation
from conformance.judging.results import ResultsWriter, Selection
from conformance.judging.summary import ExitCode, exit_code
from conformance.pytest_item import PROPERTY, STOP, out_of_space
from conformance.report import text
from conformance.roundtrip.disk import NoSpaceError
from conformance.roundtrip.outcome import Outcome
from conformance.session import Session, open_results


class Controller:
    """Judges outcomes as they arrive, writes the results, and ends with a summary."""

    def __init__(self, config: pytest.Config, run: Session) -> None:
        self.config = config
        self.run = run
        self.stopped = False
        """Has the run been ended, and said why?"""
        self.unclosed = ""
        """Why the results have no footer."""

    @classmethod
    def planned(
        cls, config: pytest.Config, ids: Iterable[str], expectations: tuple[Expectation, ...]
    ) -> "Controller":
        """Plan a run of these cases, and open the results file.

        Raises:
            UsageError: the results file cannot be written.
        """
        run, options = Session(tuple(map(find, ids)), expectations), config.option
        if options.results is not None:
            chosen = Selection(tuple(options.select), tuple(filter(None, [options.markexpr])))
            run.results = open_results(options.results, len(run.cases), chosen)
        return cls(config, run)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in an outcome, or the wish of a worker to end the run."""
        if report.when != "call":
            return
        for name, value in report.user_properties:
            if name == STOP:
                reason, code = cast("list[Any]", value)
                raise self._stop(reason, code)
            if name == PROPERTY:
                self._add(Outcome.from_json(json.loads(str(value))))

    def _add(self, outcome: Outcome) -> None:
        try:
            with out_of_space(self.config.option.results):
                self.run.add(outcome)
        except NoSpaceError as error:
            raise self._stop(str(error), ExitCode.INCONCLUSIVE) from None

    def _stop(self, reason: str, code: int) -> BaseException:
        self.stopped = True
        return pytest.exit.Exception(reason, returncode=code)

    @property
    def unused(self) -> tuple[str, ...]:
        """Expectations that a full run did not use."""
        return self.run.unused(default_cases())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the results; nothing measured, or an unused expectation, is red."""
        if self.run.results is not None:
            self.run.results.unused = self.unused
            self._close(self.run.results, interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
        as_expected = exit_code(self.run.tally, self.unused) is ExitCode.AS_EXPECTED
        if self.unclosed:
            session.exitstatus = ExitCode.INCONCLUSIVE
        elif exitstatus == pytest.ExitCode.OK and not as_expected:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _close(self, results: ResultsWriter, *, interrupted: bool) -> None:
        try:
            with out_of_space(self.config.option.results):
                results.close(interrupted=interrupted)
        except NoSpaceError as error:
            self.unclosed = str(error)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts by verdict, then the causes, worst first."""
        terminalreporter.section("conformance")
        planned = len(self.run.cases)
        summary = text.summary(self.run.tally, self.run.causes, self.unused, planned=planned)
        terminalreporter.write(text.to_text(summary))
        if self.unclosed and not self.stopped:
            terminalreporter.write_line(f"\n{self.unclosed}")
        if self.config.option.results is not None:
            whole = self.run.complete and not self.unclosed
            state = "results" if whole else "partial results"
            terminalreporter.write_line(f"\n{state}: {self.config.option.results}")
