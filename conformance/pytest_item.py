"""The part of the pytest face that runs one case: under xdist, in a worker."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.case import Case
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation
from conformance.judging.judge import Judgement, judge
from conformance.judging.summary import ExitCode
from conformance.judging.verdicts import Verdict
from conformance.report import text
from conformance.roundtrip.disk import NoSpaceError, no_space, require_space
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.outcome import NoResultKind, Outcome

PROPERTY = "conformance outcome"
"""The user property that carries an outcome from the item to the controller."""
STOP = "conformance stop"
"""The one by which an xdist worker says why the run ends, and with which exit code."""


def run(
    case: Case, request: pytest.FixtureRequest, engine: Engine, declared: tuple[Expectation, ...]
) -> None:
    """Run a case, leave its outcome on the item, and end the test as the case ended."""
    try:
        with out_of_space(request.config.option.results):
            outcome = require_space(engine.run(case))
    except UsageError as error:
        raise stopping(request, str(error), pytest.ExitCode.USAGE_ERROR) from None
    except NoSpaceError as error:
        raise stopping(request, str(error), ExitCode.INCONCLUSIVE) from None
    # As text, because xdist sends no enums.
    request.node.user_properties.append((PROPERTY, json.dumps(outcome.to_json())))
    end_test(outcome, judge(outcome, declared))


@contextmanager
def out_of_space(results: Path | None) -> Iterator[None]:
    """Say the same of every full disk, as the `run` command does.

    Raises:
        NoSpaceError: the disk is full; in one line, with the mend.
    """
    kept = f"what was measured is in {results}" if results else "--results FILE keeps what it can"
    mend = f"free some, and run it again; {kept}"
    try:
        yield
    except NoSpaceError as error:
        raise NoSpaceError(f"no space left: {error}; {mend}") from None
    except OSError as error:
        if not no_space(str(error)):
            raise
        raise NoSpaceError(f"no space left: {error}; {mend}") from None


def stopping(request: pytest.FixtureRequest, reason: str, code: int) -> BaseException:
    """Return what ends the whole run: no case can be measured. An xdist worker asks for it.

    xdist ends a run that a worker stops with a code of its own, so the controller is told ours.
    """
    if not hasattr(request.config, "workerinput"):
        return pytest.exit.Exception(reason, returncode=code)
    request.node.user_properties.append((STOP, [reason, int(code)]))
    request.session.shouldstop = reason
    return pytest.fail.Exception(reason, pytrace=False)


def end_test(outcome: Outcome, judgement: Judgement) -> None:
    """Fail, skip or xfail, or return for a pass and for a refusal as declared."""
    if not judgement.as_expected:
        pytest.fail(text.to_text(text.case_report(outcome, judgement)), pytrace=False)
    if judgement.no_result is NoResultKind.SKIPPED and outcome.no_result:
        pytest.skip(outcome.no_result.reason)
    if judgement.covered_by and judgement.verdict is not Verdict.REFUSED:
        pytest.xfail(f"{judgement.verdict}: {', '.join(judgement.covered_by)}")
