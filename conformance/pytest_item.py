"""The part of the pytest face that runs one case: under xdist, in a worker."""

import json

import pytest

from conformance.case import Case
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation
from conformance.judging.judge import Judgement, judge
from conformance.judging.verdicts import Verdict
from conformance.report import text
from conformance.roundtrip.engine import Engine
from conformance.roundtrip.outcome import NoResultKind, Outcome

PROPERTY = "conformance outcome"
"""The user property that carries an outcome from the item to the controller."""


def run(
    case: Case, request: pytest.FixtureRequest, engine: Engine, declared: tuple[Expectation, ...]
) -> None:
    """Run a case, leave its outcome on the item, and end the test as the case ended."""
    try:
        outcome = engine.run(case)
    except UsageError as error:
        raise stopping(request.session, str(error)) from None
    # As text, because xdist sends no enums.
    request.node.user_properties.append((PROPERTY, json.dumps(outcome.to_json())))
    end_test(outcome, judge(outcome, declared))


def stopping(session: pytest.Session, reason: str) -> BaseException:
    """Return what ends the whole run: no case can be measured. An xdist worker asks for it."""
    if not hasattr(session.config, "workerinput"):
        return pytest.exit.Exception(reason, returncode=pytest.ExitCode.USAGE_ERROR)
    session.shouldstop = reason
    return pytest.fail.Exception(reason, pytrace=False)


def end_test(outcome: Outcome, judgement: Judgement) -> None:
    """Fail, skip or xfail, or return for a pass and for a refusal as declared."""
    if not judgement.as_expected:
        pytest.fail(text.to_text(text.case_report(outcome, judgement)), pytrace=False)
    if judgement.no_result is NoResultKind.SKIPPED and outcome.no_result:
        pytest.skip(outcome.no_result.reason)
    if judgement.covered_by and judgement.verdict is not Verdict.REFUSED:
        pytest.xfail(f"{judgement.verdict}: {', '.join(judgement.covered_by)}")
