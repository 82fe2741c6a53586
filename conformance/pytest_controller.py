"""The part of the pytest face that sees all cases: under xdist it runs none itself."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from conformance.case import default_cases, find
from conformance.judging.expectations import Expectation
from conformance.judging.results import Selection
from conformance.judging.summary import ExitCode, exit_code
from conformance.pytest_item import PROPERTY, out_of_space
from conformance.report import text
from conformance.roundtrip.disk import NoSpaceError
from conformance.roundtrip.outcome import Outcome
from conformance.session import Session, open_results


class Controller:
    """Judges outcomes as they arrive, writes the results, and ends with a summary."""

    def __init__(self, config: pytest.Config, run: Session) -> None:
        self.config = config
        self.run = run

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
        """Take in an outcome."""
        for name, outcome in report.user_properties:
            if name == PROPERTY and report.when == "call":
                self._add(Outcome.from_json(json.loads(str(outcome))))

    def _add(self, outcome: Outcome) -> None:
        try:
            with out_of_space(self.config.option.results):
                self.run.add(outcome)
        except NoSpaceError as error:
            raise pytest.exit.Exception(str(error), returncode=ExitCode.INCONCLUSIVE) from None

    @property
    def unused(self) -> tuple[str, ...]:
        """Expectations that a full run did not use."""
        return self.run.unused(default_cases())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the results; nothing measured, or an unused expectation, is red."""
        if self.run.results is not None:
            self.run.results.unused = self.unused
            self.run.results.close(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
        as_expected = exit_code(self.run.tally, self.unused) is ExitCode.AS_EXPECTED
        if exitstatus == pytest.ExitCode.OK and not as_expected:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts by verdict, then the causes, worst first."""
        terminalreporter.section("conformance")
        planned = len(self.run.cases)
        summary = text.summary(self.run.tally, self.run.causes, self.unused, planned=planned)
        terminalreporter.write(text.to_text(summary))
        if self.config.option.results is not None:
            state = "results" if self.run.complete else "partial results"
            terminalreporter.write_line(f"\n{state}: {self.config.option.results}")
