"""The pytest face: options, markers, and one item a case."""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from conformance.case import Case, select
from conformance.pytest_errors import usage_errors
from conformance.pytest_fixtures import (
    Checkpoint,
    case,
    checkpoint,
    quantized,
    reloaded,
    transformer,
    workshop,
)
from conformance.selection import candidates, described_markers, marker_names

# Every pytest in this environment loads this module: what only a run of cases needs is imported
# when there is one, and collecting reads no expectation.
if TYPE_CHECKING:
    from conformance.judging.expectations import Expectation
    from conformance.roundtrip.engine import Engine
    from conformance.roundtrip.gallery import Gallery

__all__ = [
    "Checkpoint",
    "case",
    "checkpoint",
    "quantized",
    "reloaded",
    "transformer",
    "workshop",
]

ITEM = re.compile(r"::test_comes_back_as_saved\[([^\]]+)\]")
"""Matches the id of an item that runs a case. Behind it, xdist may write the group."""

CONTROLLER = "conformance-controller"

EXPECTATIONS = pytest.StashKey["tuple[Expectation, ...]"]()


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
        "--pictures", type=Path, metavar="DIR", help="write what pipelines draw: PNG, GIF, MP4"
    )
    group.addoption(
        "--case-timeout",
        type=_seconds,
        metavar="SECONDS",
        help="longest time for one case in one process (300)",
    )


def _seconds(text: str) -> float:
    """Read a time limit, as strictly as the command line does."""
    seconds = float(text)
    if not seconds >= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in the range x>=1")
    return seconds


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and refuse what can be told to be wrong before anything is collected.

    Raises:
        pytest.UsageError: a glob matches nothing, an expectation of the user is wrong, or what
            another distribution declares.
    """
    with usage_errors():
        described = described_markers()
    for name, meaning in described.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line("markers", "conformance(*globs): run a test for these cases only")
    with usage_errors():
        if config.option.select:
            select(config.option.select)
        if config.option.pictures:
            gallery(config)
        if config.option.expectations:
            declared(config)


def declared(config: pytest.Config) -> "tuple[Expectation, ...]":
    """Return the expectations of this session, read when they are first asked for.

    Raises:
        UsageError: one is wrong.
    """
    from conformance.session import current_expectations

    if EXPECTATIONS not in config.stash:
        config.stash[EXPECTATIONS] = current_expectations(config.option.expectations)
    return config.stash[EXPECTATIONS]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to judge as soon as it is known how many cases there will be."""
    if not hasattr(session.config, "workerinput"):
        _control(session.config, (item.nodeid for item in session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Do the same under xdist, where only workers collect."""
    _control(node.config, ids)


def _control(config: pytest.Config, nodeids: Iterable[str]) -> None:
    found = [match[1] for nodeid in nodeids if (match := ITEM.search(nodeid))]
    if config.option.collectonly or not found or config.pluginmanager.has_plugin(CONTROLLER):
        return
    from conformance.pytest_controller import Controller

    with usage_errors():
        controller = Controller.planned(config, found, declared(config))
    config.pluginmanager.register(controller, CONTROLLER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send all cases of a group to one worker, so that a model is built once.

    A session without a case is left as it is.

    Not by `--dist loadgroup`: xdist 3.8 rewrites `item._nodeid`, which pytest 9.2 ignores.
    """
    if config.option.dist != "load":
        return None
    from conformance.pytest_scheduling import ChosenScheduling

    return ChosenScheduling(config, log)


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
    # The suite's own test asks for nothing that is shared, so pytest need not reorder its items.
    scope: Literal["function", "session"] = (
        "function" if "conformance" in metafunc.fixturenames else "session"
    )
    metafunc.parametrize("case", parameters, indirect=True, scope=scope)


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
    return [_mark(name) for name in dict.fromkeys(n for each in alike for n in marker_names(each))]


@cache
def _mark(name: str) -> pytest.MarkDecorator:
    mark: pytest.MarkDecorator = getattr(pytest.mark, name)
    return mark


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> "Iterator[Engine]":
    """The worker processes of this session."""
    from conformance.pytest_telling import telling
    from conformance.roundtrip.engine import TIMEOUT, Engine

    timeout = pytestconfig.option.case_timeout or TIMEOUT
    told, hung = telling(pytestconfig), gallery(pytestconfig)
    with Engine(timeout, told=told, gallery=hung, turn=turn_of(pytestconfig)) as started:
        yield started


def turn_of(config: pytest.Config) -> int:
    """Return which worker of xdist this is, which calls them gw0, gw1 ...; 0 without it."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return int(told.get("workerid", "gw0").removeprefix("gw"))


def gallery(config: pytest.Config) -> "Gallery | None":
    """Return where pictures are hung, or None when nobody asked for them.

    Raises:
        UsageError: nothing can be written there.
    """
    from conformance.roundtrip.gallery import Gallery

    results = config.option.results or Path()
    asked = config.option.pictures
    return None if asked is None else Gallery.at(asked, beside=results.parent)


@pytest.fixture
def conformance(request: pytest.FixtureRequest, engine: "Engine") -> Callable[[Case], None]:
    """Run a case and end the test as the case ended."""
    from conformance.pytest_item import run

    return lambda each: run(each, request, engine, declared(request.config))
