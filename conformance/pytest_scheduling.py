"""Which xdist worker gets which items."""

from functools import cache

from xdist.scheduler import LoadScopeScheduling

from conformance.case import all_cases


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the items of a case's group together, and other items one by one."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.partition("[")[2].rstrip("]")
        return groups().get(name, nodeid)


@cache
def groups() -> dict[str, str]:
    """Return the group of every name that an item may have: a case, a model, or a subject."""
    named: dict[str, str] = {}
    for case in all_cases().values():
        for name in (case.id, case.quantized, f"{case.subject.name}.{case.device}"):
            named.setdefault(name, case.group)
    return named
