"""The pytest face: options, markers, and one item a case."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from conformance.axes import registry
from conformance.axes.base import Device, Size
from conformance.case import Case, default_cases, enumerate_cases, select
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
from conformance.roundtrip.outcome import NoResultKind, Outcome
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
        "--case-timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help="longest time for one case in one process",
    )


def markers() -> dict[str, str]:
    """Every marker that a case can have, with its meaning."""
    described = {str(size): size.__doc__ or "" for size in Size}
    described |= {
        "tiny": "models that are fastest",
        "small": "models of at least 10 M parameters",
        "full": "models of published dimensions",
        "cpu": "cases on CPU",
        "gpu": "cases on a CUDA device",
    }
    described |= {s.family.name: "a model family" for s in registry.subjects().values()}
    for axis in (registry.schemes(), registry.routes(), registry.formats()):
        described |= {value.name: value.title for value in axis.values()}
    return described


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Under xdist, send all cases of a group to one worker, so that a model is built once."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "loadgroup"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers and read the expectations.

    Raises:
        pytest.UsageError: an expectation is wrong.
    """
    for name, meaning in markers().items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line("markers", "conformance(*globs): run a test for these cases only")
    with usage_errors():
        expectations = current_expectations(config.option.expectations)
    config.stash[EXPECTATIONS] = expectations
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config, expectations))


def pool(select_globs: Iterable[str], expression: str) -> list[Case]:
    """Return the cases that the options ask for, before pytest applies `-m` itself.

    Tiny models on CPU, unless `-m` names other sizes or devices, or globs name cases.

    Raises:
        UsageError: a glob matches nothing.
    """
    globs = list(select_globs)
    if globs:
        return select(globs)
    words = set(re.findall(r"[\w-]+", expression))
    sizes = {size for size in Size if size in words} or {Size.TINY}
    devices = [Device.CPU, *([Device.CUDA] if "gpu" in words else [])]
    if sizes == {Size.TINY} and devices == [Device.CPU]:
        return default_cases()
    subjects = [each for each in registry.subjects().values() if each.size in sizes]
    return list(enumerate_cases(subjects, devices))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for our fixtures once for every case that it can tell apart."""
    key = _told_apart_by(metafunc.fixturenames)
    if "case" not in metafunc.fixturenames or key is None:
        return
    marker = metafunc.definition.get_closest_marker("conformance")
    options = metafunc.config.option
    with usage_errors():
        cases = select(marker.args) if marker else pool(options.select, options.markexpr)
    named = {key(each): each for each in reversed(cases)}
    parameters = [
        pytest.param(each, id=name, marks=_marks(each)) for name, each in reversed(named.items())
    ]
    metafunc.parametrize("case", parameters, indirect=True, scope="session")


def _told_apart_by(names: Iterable[str]) -> Callable[[Case], str] | None:
    wanted = set(names)
    if wanted & {"conformance", "checkpoint", "reloaded"}:
        return lambda each: each.id
    if "quantized" in wanted:
        return lambda each: each.quantized
    if "transformer" in wanted:
        return lambda each: f"{each.subject.name}.{each.device}"
    return lambda each: each.id


def _marks(each: Case) -> list[pytest.MarkDecorator]:
    names = (*each.markers, each.scheme.name, each.route.name, each.format.name)
    marks = [getattr(pytest.mark, name) for name in names]
    return [*marks, pytest.mark.xdist_group(each.group)]


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """The worker processes of this session."""
    with Engine(pytestconfig.option.case_timeout) as started:
        yield started


@pytest.fixture
def conformance(request: pytest.FixtureRequest, engine: Engine) -> Callable[[Case], None]:
    """Run a case and end the test as the case ended."""

    def run(each: Case) -> None:
        try:
            outcome = engine.run(each)
        except UsageError as error:
            pytest.exit(str(error), returncode=4)
        request.node.user_properties.append((PROPERTY, outcome.to_json()))
        end_test(outcome, judge(outcome, request.config.stash[EXPECTATIONS]))

    return run


def end_test(outcome: Outcome, judgement: Judgement) -> None:
    """Fail, skip or xfail, or return for a pass and for a refusal as declared."""
    if not judgement.as_expected:
        pytest.fail(text.to_text(text.case_report(outcome, judgement)), pytrace=False)
    if judgement.no_result is NoResultKind.SKIPPED and outcome.no_result:
        pytest.skip(outcome.no_result.reason)
    if judgement.covered_by and judgement.verdict is not Verdict.REFUSED:
        pytest.xfail(f"{judgement.verdict}: {', '.join(judgement.covered_by)}")
