"""Every writer's checkpoints read by every reader: each writes once, each reads all.

`plan` decides everything before a process starts; `exchange` runs it. Environments come in as
values, so nothing here knows how they are made.
"""

import json
import queue
import re
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from threading import Event
from typing import Any

from conformance import __version__
from conformance.case import Case
from conformance.drained import drained
from conformance.errors import UsageError
from conformance.judging.exchange import Cell, Nothing, Unmeasured, label, labels
from conformance.roundtrip.disk import NoSpaceError, no_space, require_space
from conformance.roundtrip.kept import Index, Readings
from conformance.roundtrip.outcome import Outcome
from conformance.versions.golden import Shelf
from conformance.versions.party import Absent, Lines, Party, PartyError

DEFAULT = tuple(
    f"{subject}.{scheme}.{route}.{form}.cpu"
    for subject in ("flux-tiny", "cogvideox-tiny")
    for scheme in ("int8wo", "int8wo-v2", "int8dq", "float8wo", "intx4-g32", "int8da-intx4-g32")
    for route in ("quantize_", "torchao-config")
    for form in ("pickle", "safetensors", "state-dict", "torchao-safetensors")
)
"""The schemes of CPU that most releases have, in the formats that people keep."""
AT_ONCE = 2
SHARE = 40
"""Checkpoints that are worth a process of their own: to start one takes as long as to read them."""
Asked = tuple[str, str]
"""A writer's label and the id of a case that it wrote."""
Member = Party | Absent | Shelf
"""A shelf of golden files takes part as a writer that has written."""


@dataclass(frozen=True)
class Plan:
    """Who writes and who reads what."""

    writers: Mapping[str, Member]
    """By label; the label stands in the ids."""
    readers: Mapping[str, Member]
    cases: tuple[Case, ...]
    globs: tuple[str, ...]
    """What selects the cases, for the writers to select the same."""
    directory: Path
    """Where the checkpoints go; those of an earlier run are used again."""
    timeout: float
    sparing: bool = False
    """See `Request.sparing`."""

    @property
    def planned(self) -> int:
        """How many cells there will be."""
        return len(self.writers) * len(self.readers) * len(self.cases)

    def place(self, writer: str) -> Path:
        """Return where a writer's checkpoints lie."""
        member = self.writers[writer]
        if isinstance(member, Shelf):
            return member.directory
        return place_of(self.directory, writer)


def place_of(directory: Path, writer: str) -> Path:
    """Return where the checkpoints of a writer, given by its label, lie in a directory."""
    return directory / re.sub(r"[^\w.,+-]", "_", writer)


def plan(
    writers: Sequence[Member],
    readers: Sequence[Member],
    cases: Iterable[Case],
    globs: Sequence[str],
    directory: Path,
    timeout: float,
) -> Plan:
    """Give every environment its label.

    Raises:
        UsageError: there is nobody to write or to read, or one side names an environment twice.
    """
    for role, members in (("--writers", writers), ("--readers", readers)):
        names = [each.name for each in members]
        if not names:
            raise UsageError(f"{role} names no environment; give at least one")
        if twice := {name for name in names if names.count(name) > 1}:
            raise UsageError(f"{role} names {sorted(twice)[0]} twice; give it once")
    return Plan(
        writers=_by_label(writers),
        readers=_by_label(readers),
        cases=tuple(cases),
        globs=tuple(globs),
        directory=directory,
        timeout=timeout,
    )


def _by_label(members: Sequence[Member]) -> dict[str, Member]:
    """Key them by label; one that could not be made has its name."""
    known = labels({each.name: each.versions for each in members if each.versions})
    return {known.get(each.name, each.name): each for each in members}


Told = Callable[[str], None]
"""Takes a line on what has just begun or ended."""


def exchange(
    plan: Plan, tell: Told = lambda _: None, known: Collection[str] = ()
) -> Generator[Cell, None, None]:
    """Have everybody write, then everybody read; yield each cell as it is known.

    Cells whose ids are `known` from an earlier run are neither read nor yielded.
    """
    stop = Event()
    try:
        indexes = _write_all(plan, tell, stop)
        yield from _unread(plan, indexes)
        yield from _read_all(_Reading(plan, indexes, stop, frozenset(known)), tell)
    finally:
        stop.set()


def _write_all(plan: Plan, tell: Told, stop: Event) -> dict[str, Index]:
    """Return the index of every writer that is there."""
    there = {name: each for name, each in plan.writers.items() if not isinstance(each, Absent)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {
            name: pool.submit(_index, plan, name, party, tell, stop)
            for name, party in there.items()
        }
        try:
            return {name: future.result() for name, future in futures.items()}
        except BaseException:
            stop.set()
            raise


def _index(plan: Plan, name: str, party: Party | Shelf, tell: Told, stop: Event) -> Index:
    if isinstance(party, Shelf):
        return party.index
    place = plan.place(name)
    if (found := _earlier(plan, place, party)) is not None:
        tell(f"{name} wrote {len(found.written)} checkpoints earlier")
        return found
    tell(f"{name} writes {len(plan.cases)} cases")
    place.mkdir(parents=True, exist_ok=True)
    module = ("conformance.roundtrip.keep", str(place), "--timeout", str(plan.timeout))
    outcomes: dict[str, Outcome] = {}
    try:
        for line in _lines(party, (*module, *plan.globs), "", stop):
            outcomes[line["case"]] = require_space(Outcome.from_json(line))
    except PartyError as error:
        tell(f"{name} stopped writing: {error}")
    tell(f"{name} wrote {len(Index(party.versions, outcomes).written)} checkpoints")
    return Index(party.versions, outcomes)


def _lines(party: Party, module: Sequence[str], given: str, stop: Event) -> Iterator[Any]:
    """Yield what a module prints; where the disk is full, nobody needs to go on."""
    try:
        yield from Lines(party, tuple(module), given, stop)
    except PartyError as error:
        raise (NoSpaceError(str(error)) if no_space(str(error)) else error) from None


def _earlier(plan: Plan, place: Path, party: Party) -> Index | None:
    """Return the index of an earlier run by the same versions that has all the cases."""
    try:
        found = Index.load(place)
    except UsageError:
        return None
    same = label(found.versions, "torch") == label(party.versions, "torch")
    whole = found.cases.keys() >= {case.id for case in plan.cases}
    return found if same and whole and found.suite == __version__ else None


def _unread(plan: Plan, indexes: Mapping[str, Index]) -> Iterator[Cell]:
    """Yield the cells that no reader is asked about."""
    for writer, member in plan.writers.items():
        for case in plan.cases:
            for reader, other in plan.readers.items():
                why = _why_not(member, indexes.get(writer), case) or _absent(other)
                if why is not None:
                    yield Cell(case.id, writer, reader, nothing=why)


def _absent(member: Member) -> Nothing | None:
    if isinstance(member, Absent):
        return Nothing(Unmeasured.NO_ENVIRONMENT, f"{member.name}: {member.reason}")
    return None


def _why_not(member: Member, index: Index | None, case: Case) -> Nothing | None:
    """Say why there is no checkpoint, or None where there is one."""
    if index is None:
        return _absent(member)
    outcome = index.cases.get(case.id)
    if outcome is None and isinstance(member, Shelf):
        reason = member.manifest.absent.get(case.id, "it is not among the golden files")
        return Nothing(Unmeasured.NOT_WRITTEN, reason)
    if outcome is None:
        return Nothing(Unmeasured.NO_RESULT, "the writer ended before this case")
    if outcome.no_result is not None:
        return Nothing(
            Unmeasured.NOT_WRITTEN, f"{outcome.no_result.kind}: {outcome.no_result.reason}"
        )
    if outcome.failure is not None:
        broken = outcome.failure
        return Nothing(Unmeasured.NOT_WRITTEN, f"{broken.type} at {broken.stage}: {broken.message}")
    return None


@dataclass
class _Reading:
    """What the reader threads share."""

    plan: Plan
    indexes: Mapping[str, Index]
    stop: Event
    known: frozenset[str]
    cells: "queue.SimpleQueue[Cell | BaseException | None]" = field(
        default_factory=queue.SimpleQueue
    )
    """Cells, an error of a thread, or None when a reader is through."""

    def asked(self, reader: str) -> list[Asked]:
        """Return what a reader is to read."""
        chosen = {case.id for case in self.plan.cases}
        return [
            (writer, case)
            for writer, index in self.indexes.items()
            for case in index.written
            if case in chosen and Cell(case, writer, reader).id not in self.known
        ]

    def read(self, reader: str, party: Party, asked: Sequence[Asked], tell: Told) -> None:
        """Put cells of one reader into the queue; those it did not answer come last."""
        open_cells = set(asked)
        tell(f"{reader} reads {len(open_cells)} checkpoints")
        reason = "the reader ended before this checkpoint"
        try:
            for readings in self._readings(party, asked):
                open_cells.discard((readings.writer, readings.case))
                self.cells.put(Cell(readings.case, readings.writer, reader, readings))
        except PartyError as error:
            reason = str(error)
            tell(f"{reader} stopped reading: {error}")
        except BaseException as error:  # noqa: BLE001 - the main thread raises it again
            self.cells.put(error)
        if not self.stop.is_set():
            for writer, case in sorted(open_cells):
                nothing = Nothing(Unmeasured.NO_RESULT, reason)
                self.cells.put(Cell(case, writer, reader, nothing=nothing))
        self.cells.put(None)

    def _readings(self, party: Party, asked: Sequence[Asked]) -> Iterator[Readings]:
        requests = [
            {
                "writer": writer,
                "directory": str(self.plan.place(writer)),
                "cases": [case for _, case in cells],
                "sparing": self.plan.sparing,
            }
            for writer, cells in groupby(asked, key=itemgetter(0))
        ]
        module = ("conformance.roundtrip.readback", "--timeout", str(self.plan.timeout))
        for line in _lines(party, module, json.dumps(requests), self.stop):
            if "versions" not in line:
                readings = Readings.from_json(line)
                for outcome in (readings.loader, readings.weights):
                    require_space(outcome)
                yield readings


def _read_all(work: _Reading, tell: Told) -> Iterator[Cell]:
    there = {name: each for name, each in work.plan.readers.items() if isinstance(each, Party)}
    shares = _shared({name: work.asked(name) for name in there})
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, asked in shares:
            pool.submit(work.read, name, there[name], asked, tell)
        try:
            yield from drained(work.cells, len(shares))
        finally:
            work.stop.set()


def _shared(asked: Mapping[str, Sequence[Asked]]) -> list[tuple[str, Sequence[Asked]]]:
    """Return what each process reads: a reader with most of the work gets a second one."""
    everything = sum(map(len, asked.values()))
    shares = []
    for reader, cells in asked.items():
        worth = min(round(AT_ONCE * len(cells) / max(1, everything)), len(cells) // SHARE)
        count = max(1, worth) if cells else 0
        shares += [(reader, cells[number::count]) for number in range(count)]
    return shares
