"""The pytest face: options, markers, and one item a case."""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from conformance.case import Case, select
from conformance.errors import UsageError
from conformance.judging.expectations import Expectation
from conformance.judging.judge import Judgement, judge
from conformance.judging.verdicts import Verdict
from conformance.pytest_controller import PROPERTY, Controller, usage_errors
from conformance.pytest_fixtures import (
    Checkpoint,
    case,
    checkpoint,
    quantized,
    reloaded,
    transformer,
    workshop,
)
from conformance.report import text
from conformance.roundtrip.engine import TIMEOUT, Engine
from conformance.roundtrip.gallery import Gallery
from conformance.roundtrip.outcome import NoResultKind, Outcome
from conformance.selection import candidates, described_markers, marker_names
from conformance.session import current_expectations

__all__ = [
    "Checkpoint",
    "case",
    "checkpoint",
    "quantized",
    "reloaded",
    "transformer",
    "workshop",
]

EXPECTATIONS = pytest.StashKey[tuple[Expectation, ...]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("conformance", "conformance of quantized checkpoints")
    group.addoption(
        "--select",
        action="append",
        default=[],
        metavar="GLOB",
        help="run the cases whose id matches; may be given often",
    )
    group.addoption("--results", type=Path, metavar="FILE", help="write the results as JSON lines")
    group.addoption(
        "--expectations",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="read further expectations (TOML); may be given often",
    )
    group.addoption(
        "--pictures", type=Path, metavar="DIR", help="write what pipelines draw as PNG and GIF"
    )
    group.addoption(
        "--case-timeout",
        type=_seconds,
        default=TIMEOUT,
        metavar="SECONDS",
        help="longest time for one case in one process",
    )


def _seconds(text: str) -> float:
    """Read a time limit, as strictly as the command line does."""
    seconds = float(text)
    if not seconds >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in the range x>=1")
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers and read the expectations.

    Raises:
        pytest.UsageError: an expectation is wrong.
    """
    for name, meaning in described_markers().items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line("markers", "conformance(*globs): run a test for these cases only")
    with usage_errors():
        expectations = current_expectations(config.option.expectations)
        if config.option.select:
            select(config.option.select)  # a bad glob is told before anything is collected
        gallery(config)
    config.stash[EXPECTATIONS] = expectations
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config, expectations))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for our fixtures once for every case that it can tell apart."""
    if not _is_ours(metafunc):
        return
    key = _told_apart_by(metafunc.fixturenames)
    marker = metafunc.definition.get_closest_marker("conformance")
    options = metafunc.config.option
    with usage_errors():
        cases = select(marker.args) if marker else _asked_for(options)
    alike: dict[str, list[Case]] = {}
    for each in cases:
        alike.setdefault(key(each), []).append(each)
    parameters = [
        pytest.param(same[0], id=name, marks=_marks(same)) for name, same in alike.items()
    ]
    metafunc.parametrize("case", parameters, indirect=True, scope="session")


def _is_ours(metafunc: pytest.Metafunc) -> bool:
    """Does `case` mean our fixture? Many a test of other people has a parameter of that name."""
    fixtures = metafunc._arg2fixturedefs.get("case", ())
    return bool(fixtures) and fixtures[-1].func.__module__ == case.__module__


def _asked_for(options: argparse.Namespace) -> list[Case]:
    """Return the cases among which pytest itself will apply `-m`."""
    return candidates(options.select, set(re.findall(r"[\w-]+", options.markexpr)))


def _told_apart_by(names: Iterable[str]) -> Callable[[Case], str]:
    wanted = set(names)
    if wanted & {"conformance", "checkpoint", "reloaded"}:
        return lambda each: each.id
    if "quantized" in wanted:
        return lambda each: each.quantized
    if "transformer" in wanted:
        return lambda each: f"{each.subject.name}.{each.device}"
    return lambda each: each.id


def _marks(alike: Sequence[Case]) -> list[pytest.MarkDecorator]:
    """Return the markers of all the cases that one item stands for."""
    names = dict.fromkeys(name for each in alike for name in marker_names(each))
    return [getattr(pytest.mark, name) for name in names]


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The worker processes of this session."""
    with Engine(pytestconfig.option.case_timeout, gallery=gallery(pytestconfig)) as started:
        yield started


def gallery(config: pytest.Config) -> Gallery | None:
    """Return where pictures are hung, or None when nobody asked for them.

    Raises:
        UsageError: nothing can be written there.
    """
    results = config.option.results or Path()
    asked = config.option.pictures
    return None if asked is None else Gallery.at(asked, beside=results.parent)


@pytest.fixture
def conformance(request: pytest.FixtureRequest, engine: Engine) -> Callable[[Case], None]:
    """Run a case and end the test as the case ended."""

    def run(each: Case) -> None:
        try:
            outcome = engine.run(each)
        except UsageError as error:
            raise stopping(request.session, str(error)) from None
        # As text, because xdist sends no enums.
        request.node.user_properties.append((PROPERTY, json.dumps(outcome.to_json())))
        declared = request.config.stash[EXPECTATIONS]
        end_test(outcome, judge(outcome, declared))

    return run


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
