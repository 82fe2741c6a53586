"""Which mutations a checkpoint gets: the same for a seed, wherever it is asked."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from random import Random

from conformance.damage import archives, bytewise, configs, executes, shards, tensorfiles
from conformance.damage.mutation import Files, Kind, Mutation
from conformance.damage.regions import Part

MOST = 45
"""Mutations of one kind; those that are more are drawn. Cuts at boundaries are all there."""
MOST_BOMBS = 6
DRAWN = 40
"""Mutations of a kind that has no end."""
LEAST = 500
"""Mutations of a checkpoint; what is missing is damage anywhere."""


def plan(files: Files, stale: Files, seed: int) -> list[Mutation]:
    """Return the mutations of a checkpoint, all of them different and each a real change.

    Args:
        files: The checkpoint.
        stale: An earlier save of the same model with other weights, under the same names.
        seed: What is drawn follows from it.
    """
    random = Random(seed)
    found: dict[str, Mutation] = {}
    for kind, those in by_kind(_enumerated(files, stale, random)).items():
        random.shuffle(those)
        _add(found, islice(those, _most(kind)))
    for part in Part:
        _add(found, islice(_real(bytewise.bits(files, random, part), files), DRAWN))
    rest = _real(bytewise.anywhere(files, random), files)
    _add(found, islice(rest, DRAWN))
    while len(found) < LEAST:
        _add(found, islice(rest, LEAST - len(found)))
    return list(found.values())


def _most(kind: Kind) -> int | None:
    if kind is Kind.TRUNCATED:
        return None
    return MOST_BOMBS if kind is Kind.BOMB else MOST


def _add(found: dict[str, Mutation], more: Iterable[Mutation]) -> None:
    found.update((each.id, each) for each in more)


def _enumerated(files: Files, stale: Files, random: Random) -> Iterator[Mutation]:
    return chain(
        bytewise.cuts(files),
        tensorfiles.mutations(files),
        archives.mutations(files, random),
        shards.mutations(files, stale, random),
        configs.mutations(files),
        executes.mutations(files, random),
    )


def _real(mutations: Iterable[Mutation], files: Files) -> Iterator[Mutation]:
    """Leave out what changes nothing: a block that is zeroed may have been zero."""
    return (each for each in mutations if each.apply(files) != files)


def by_kind(mutations: Iterable[Mutation]) -> dict[Kind, list[Mutation]]:
    """Return the mutations of every kind, in the order of the kinds."""
    found: dict[Kind, list[Mutation]] = {kind: [] for kind in Kind}
    for each in mutations:
        found[each.kind].append(each)
    return found


def sample(mutations: Iterable[Mutation], count: int, seed: int) -> list[Mutation]:
    """Return so many of them, of every kind in turn."""
    random = Random(seed)
    piles = [random.sample(each, len(each)) for each in by_kind(mutations).values() if each]
    deepest = max(map(len, piles), default=0)
    turns = (pile[turn] for turn in range(deepest) for pile in piles if turn < len(pile))
    return list(islice(turns, count))
