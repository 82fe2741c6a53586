"""Which xdist worker gets which items."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from xdist.scheduler import LoadScheduling, LoadScopeScheduling

from conformance.axes import registry
from conformance.case import all_cases


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the items of a case's group together, and other items one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return groups().get(_parameter(nodeid), nodeid)


class ChosenScheduling:
    """xdist's own `load`, or `GroupScheduling` as soon as a worker has collected a case.

    Whoever has the suite installed has its plugin in every session; without a case in it, such a
    session is not ours to arrange.
    """

    def __init__(self, config: Any, log: Any) -> None:
        self._made_of = (config, log)
        self.chosen: Any = LoadScheduling(config, log)
        self._is_chosen = False

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Choose by what was collected first: all workers collect alike."""
        if not self._is_chosen:
            self._is_chosen = True
            if any(map(is_case, collection)):
                self._group()
        self.chosen.add_node_collection(node, collection)

    def _group(self) -> None:
        nodes = self.chosen.nodes
        self.chosen = GroupScheduling(*self._made_of)
        for node in nodes:
            self.chosen.add_node(node)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.chosen, name)


def is_case(nodeid: str) -> bool:
    """Does an item stand for a case, or for what several cases share?

    Asked of every test of other people, so a look at the subject comes first.
    """
    name = _parameter(nodeid)
    return name.partition(".")[0] in registry.subjects() and name in groups()


def _parameter(nodeid: str) -> str:
    return nodeid.partition("[")[2].rstrip("]")


@cache
def groups() -> dict[str, str]:
    """Return the group of every name that an item may have: a case, a model, or a subject."""
    named: dict[str, str] = {}
    for case in all_cases().values():
        for name in (case.id, case.quantized, f"{case.subject.name}.{case.device}"):
            named.setdefault(name, case.group)
    return named
