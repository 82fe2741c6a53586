"""How the suite's own tests are run: which by default, and which xdist worker gets which."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

SLOW, FULL = "slow", "full"
OWN = Path(__file__).parent / "tests"
LEFT_OUT = pytest.StashKey[int]()

# The tests start hundreds of processes. Where bytecode is not kept, each compiles the suite anew,
# and pytest rewrites every file of tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of what only a thorough run needs."""
    config.addinivalue_line(
        "markers", f"{SLOW}: real environments, whole gates, interrupted processes (-m slow)"
    )
    config.stash[LEFT_OUT] = 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, unless `-m` speaks of them or the command names the test."""
    if SLOW in config.option.markexpr:
        return
    named = tuple(argument for argument in config.args if "::" in argument)
    slow = [
        item
        for item in items
        if _is_slow(item, config) and not (named and item.nodeid.startswith(named))
    ]
    if slow:
        left_out = set(slow)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)


def _is_slow(item: pytest.Item, config: pytest.Config) -> bool:
    """Own tests of full size are, unless asked for; the suite itself chooses its cases."""
    large = OWN in item.path.parents and item.get_closest_marker(FULL)
    return bool(item.get_closest_marker(SLOW) or (large and FULL not in config.option.markexpr))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints, when this is a worker of xdist."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[SLOW] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it from a worker: all of them leave out the same."""
    told = getattr(node, "workeroutput", {}).get(SLOW, 0)
    node.config.stash[LEFT_OUT] = max(node.config.stash[LEFT_OUT], told)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was left out, and how it is run."""
    if count := config.stash[LEFT_OUT]:
        terminalreporter.write_line(
            f"{count} slow tests were left out; `pytest -n auto -m slow` runs them"
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one process: what they share is made once.

    Files come first, in the order of `testpaths`; cases are short and fill the end.
    """
    if config.option.dist != "load":
        return None
    from conformance.pytest_scheduling import GroupScheduling

    class ByFile(GroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return nodeid.partition("::")[0] if scope == nodeid else scope

    config.option.loadscopereorder = False
    return ByFile(config, log)
