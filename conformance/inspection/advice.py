"""What to do with a checkpoint, in plain words."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version

from conformance.inspection.findings import Kind
from conformance.inspection.fingerprint import fingerprints
from conformance.inspection.kinds import describe
from conformance.inspection.readers import (
    NO_CONFIG,
    Answer,
    Measured,
    Read,
    Sure,
    ask,
    successors,
    worst,
)
from conformance.inspection.whole import Checkpoint


@dataclass(frozen=True)
class Advice:
    """Sentences, and what they rest on."""

    answer: Answer | None
    """None where nothing is quantized."""
    sentences: tuple[str, ...]


def advise(found: Checkpoint, measured: Measured, installed: str | None) -> Advice:
    """Say who wrote a checkpoint, who can read it, and what to do.

    Args:
        found: What was inspected.
        measured: Who read what, measured.
        installed: Version of torchao in this environment; None where there is none.
    """
    loaded = found.loaded
    if not loaded.quantized:
        return Advice(None, (PLAIN if loaded.weights else NO_WEIGHTS,))
    config = found.config.key if found.config else NO_CONFIG
    forms = fingerprints(loaded.weights, loaded.container)
    answer = ask(forms, config, measured)
    if answer.sure is Sure.UNKNOWN:
        return Advice(answer, (f"Written with {_what(found)}.", UNKNOWN))
    wrote = spoken(answer.writers, _all_writers(measured))
    sentences = [f"Written with {_what(found)}, by torchao {wrote} {FAR[answer.sure]}."]
    if not answer.configured and found.config is not None:
        sentences.append(UNCONFIGURED)
    sentences += _readers(answer, measured)
    sentences += _to_do(answer, measured) if not found.wrong else [_first(found)]
    sentences += _here(answer, installed)
    return Advice(answer, tuple(sentences))


def _first(found: Checkpoint) -> str:
    if any(each.kind is Kind.HOSTILE for each in found.findings):
        return "Do not load it: it would execute more than weights need, or reach outside."
    return "First mend what is wrong with it, see above."


FAR = {
    Sure.MEASURED: "as far as the file tells",
    Sure.CLASSES: "going by its classes alone (this very form was not measured)",
}
PLAIN = "Nothing is quantized: no torchao is needed to read it."
NO_WEIGHTS = "No weights could be read."
UNCONFIGURED = (
    "Such a config.json was not measured with it: what follows is of the weight files alone."
)
UNKNOWN = (
    "No checkpoint of this form was measured: nothing is known of who can read it. "
    "`conformance verify` in the environment that is to read it tells."
)


def minor(version: str) -> str:
    """`0.14` of `0.14.1`."""
    parsed = Version(version)
    return f"{parsed.major}.{parsed.minor}"


def spoken(versions: Iterable[str], among: Sequence[str]) -> str:
    """`0.13 to 0.15 and 0.17`: runs are runs among the versions that there are."""
    wanted = set(versions)
    runs: list[list[str]] = [[]]
    for each in among:
        if each in wanted:
            runs[-1].append(minor(each))
        elif runs[-1]:
            runs.append([])
    told = [word for run in runs for word in _run(run)]
    return " and ".join([", ".join(told[:-1]), told[-1]]) if len(told) > 1 else "".join(told)


def _run(run: list[str]) -> list[str]:
    return [f"{run[0]} to {run[-1]}"] if len(run) > 2 else run


def _all_writers(measured: Measured) -> list[str]:
    return sorted({row.writer for row in measured.rows}, key=Version)


def _what(found: Checkpoint) -> str:
    outermost = dict.fromkeys(each.subclass.partition("/")[0] for each in found.loaded.quantized)
    kinds = dict.fromkeys(str(describe(each)) for each in found.loaded.quantized)
    first, *more = kinds
    others = f" and {len(more)} more kinds" if len(more) > 1 else ""
    kind = f"{first}; {more[0]}" if len(more) == 1 else f"{first}{others}"
    return f"{' and '.join(outermost)} ({kind})"


def _readers(answer: Answer, measured: Measured) -> Iterator[str]:
    versions = list(measured.readers)
    writers = _all_writers(measured)
    if answer.mixed:
        yield from _by_writer(answer, versions, writers)
        return
    for read, mine in _grouped(answer.reads).items():
        yield f"torchao {spoken(mine, versions)} {_verb(read, mine)}."
    better = [each for each in answer.unusable if _usable(answer.weights.get(each))]
    if better:
        yield (
            f"torchao {spoken(better, versions)} can read the weight files alone: config.json or "
            "from_pretrained stands in the way."
        )


def _usable(read: Read | None) -> bool:
    return read is not None and read.usable


def _verb(read: Read, versions: Sequence[str]) -> str:
    """Words for one version or several."""
    if len(versions) == 1:
        return read.words
    return PLURAL.get(read, read.words)


PLURAL = {
    Read.EQUAL: "read it (bits equal)",
    Read.ALTERED: "read it (bits equal, something beside them is not)",
    Read.REFUSED: "refuse it clearly",
    Read.FAILED: "cannot read it",
    Read.DIFFERS: "load it without an error and compute something else",
    Read.CORRUPT: "load it without an error to other weights",
}


def _grouped(reads: Mapping[str, Read]) -> dict[Read, list[str]]:
    found: dict[Read, list[str]] = {}
    for version, read in reads.items():
        found.setdefault(read, []).append(version)
    return {read: found[read] for read in Read if read in found}


def _by_writer(answer: Answer, versions: list[str], writers: list[str]) -> Iterator[str]:
    """Who can read it, where that depends on who wrote it."""
    yield "Who can read it depends on which of them wrote it, and the file does not tell:"
    groups: dict[tuple[tuple[str, Read], ...], list[str]] = {}
    for writer, reads in answer.by_writer.items():
        groups.setdefault(tuple(reads.items()), []).append(writer)
    for key, mine in groups.items():
        told = [
            f"torchao {spoken(each, versions)} {_verb(read, each)}"
            for read, each in _grouped(dict(key)).items()
        ]
        yield f"- of torchao {spoken(mine, writers)}: {'; '.join(told)}."


def _to_do(answer: Answer, measured: Measured) -> Iterator[str]:
    versions = list(measured.readers)
    newest = versions[-1]
    if answer.mixed:
        yield "Load it with the release that wrote it; if that is not known, quantize again."
    elif newest in answer.usable:
        yield f"Nothing to do: torchao {minor(newest)}, the newest measured, reads it."
    elif answer.usable:
        yield _again(answer, measured, versions)
    elif _usable(answer.weights.get(newest)):
        yield "Load the weight files alone (weights_only=True) into a model of your own config."
    else:
        yield "No measured release reads it back: quantize the original weights again."


def _again(answer: Answer, measured: Measured, versions: list[str]) -> str:
    load = f"Load it with torchao {spoken(answer.usable, versions)} and save again"
    newest = minor(versions[-1])
    found = sorted(successors(answer, measured), key=lambda row: Version(row.writer))
    types = [_config(row.config) for row in found]
    if any(types):
        config = next(each for each in types if each)
        wrote = [row.writer for row, each in zip(found, types, strict=True) if each == config]
        return (
            f"{load}: dequantize it there (or take the original weights), quantize with {config}, "
            f"save; torchao {newest} reads that of torchao {spoken(wrote, _all_writers(measured))}."
        )
    return (
        f"{load} as plain weights: dequantize it there (or take the original weights), and "
        f"quantize again with torchao {newest}."
    )


def _config(key: str) -> str:
    match = re.match(r"(\w+Config) version (\d+)", key)
    return f"{match[1]}(version={match[2]})" if match else ""


def _here(answer: Answer, installed: str | None) -> Iterator[str]:
    if installed is None:
        return
    same = [each for each in answer.reads if minor(each) == minor(installed)]
    if not same:
        yield f"torchao {installed} is installed here, and was not measured."
        return
    read = worst(answer.reads[each] for each in same)
    if same[0] in answer.mixed:
        yield f"torchao {installed} is installed here: it depends on the writer, see above."
    elif not read.usable:
        yield f"torchao {installed} is installed here: it {read.words}."
