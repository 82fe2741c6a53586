"""How the suite's own tests are run: which by default, and which xdist worker gets which."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

THOROUGH, SLOW, FULL = "thorough", "slow", "full"
ON_REQUEST = {
    THOROUGH: "takes seconds: processes, environments, damage; .ci/run asks for it (-m thorough)",
    SLOW: "real environments, whole gates, interrupted processes (-m slow)",
}
OWN = Path(__file__).parent / "tests"
LEFT_OUT = pytest.StashKey[int]()

# The tests start hundreds of processes. Where bytecode is not kept, each compiles the suite anew,
# and pytest rewrites every file of tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of what only a longer run needs."""
    for marker, meaning in ON_REQUEST.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    config.stash[LEFT_OUT] = 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, unless `-m` speaks of it or the command names it."""
    named = tuple(argument for argument in config.args if "::" in argument)
    files = {(config.invocation_params.dir / each).resolve() for each in config.args}
    long = [
        item
        for item in items
        if _is_long(item, config.option.markexpr, alone=item.path in files)
        and not (named and item.nodeid.startswith(named))
    ]
    if long:
        left_out = set(long)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=long)
        config.stash[LEFT_OUT] = len(long)


def _is_long(item: pytest.Item, expression: str, *, alone: bool) -> bool:
    """Own tests of full size are, unless asked for; the suite itself chooses its cases.

    Whoever names a file wants all of it, but for what takes minutes.
    """
    if FULL not in expression and OWN in item.path.parents and item.get_closest_marker(FULL):
        return True
    if any(marker in expression for marker in ON_REQUEST):
        return False
    markers = (SLOW,) if alone else (SLOW, THOROUGH)
    return any(item.get_closest_marker(marker) for marker in markers)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints, when this is a worker of xdist."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear it from a worker: all of them leave out the same."""
    told = getattr(node, "workeroutput", {}).get("left out", 0)
    node.config.stash[LEFT_OUT] = max(node.config.stash[LEFT_OUT], told)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was left out, and how it is run."""
    if count := config.stash[LEFT_OUT]:
        terminalreporter.write_line(
            f"{count} longer tests were left out; "
            f"`pytest -n auto -m '{THOROUGH} or {SLOW}'` runs them"
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
