"""A Shields endpoint badge for every scheme and route. Reads results; runs nothing.

https://shields.io/badges/endpoint-badge says what each key is. A badge says what was measured, and
nothing else: of a partial run there is none, and what has no result is grey and never green.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.errors import UsageError
from conformance.judging.judge import Judgement
from conformance.judging.results import Results
from conformance.judging.verdicts import Verdict, worst
from conformance.roundtrip.outcome import NoResultKind

COLOURS: Mapping[Verdict, str] = {
    Verdict.PASS: "brightgreen",
    Verdict.REFUSED: "blue",
    Verdict.ALTERED: "yellow",
    Verdict.QUANTIZE_FAILED: "orange",
    Verdict.SAVE_FAILED: "orange",
    Verdict.LOAD_FAILED: "red",
    Verdict.CORRUPT: "black",
}
NO_RESULT = "red"
"""It hung, died, or was no measurement; only skipped cases are nobody's fault."""
NOT_MEASURED = ("not measured", "lightgrey")
Badge = dict[str, Any]
Pair = tuple[str, str]


def badges(
    results: Results, axes: Mapping[str, Mapping[str, str]], pairs: Iterable[Pair]
) -> dict[str, Badge]:
    """Return the badges by file name, `int8wo.quantize_.json`: one for each scheme and route.

    `pairs` are all schemes and routes, also those that the run has no case of.

    Raises:
        UsageError: the run is partial, or has a case that `axes` does not know.
    """
    if not results.footer.complete:
        done, planned = len(results.cases), results.header.planned
        raise UsageError(
            f"the results are partial, {done} of {planned} cases, and a badge would not say so; "
            "finish them with `conformance run --resume`"
        )
    judged: dict[Pair, list[Judgement]] = {pair: [] for pair in pairs}
    for name, result in results.cases.items():
        if name not in axes:
            raise UsageError(f"no case {name!r} in this suite; use the suite that wrote the file")
        judged[axes[name]["scheme"], axes[name]["route"]].append(result.judgement)
    return {".".join((*pair, "json")): badge(" ".join(pair), judged[pair]) for pair in judged}


def badge(label: str, judgements: Iterable[Judgement]) -> Badge:
    """Return one badge: how many pass of those that could be measured, coloured by the worst."""
    message, colour = _message(list(judgements))
    return {"schemaVersion": 1, "label": label, "message": message, "color": colour}


def _message(judgements: list[Judgement]) -> tuple[str, str]:
    asked = [each for each in judgements if each.no_result is not NoResultKind.SKIPPED]
    if not asked:
        return NOT_MEASURED
    verdicts = [each.verdict for each in asked if each.verdict is not None]
    passed = sum(verdict is Verdict.PASS for verdict in verdicts)
    counted = f"{passed}/{len(asked)} pass"
    return ", ".join([counted, *_worst(verdicts, len(asked))]), _colour(verdicts, len(asked))


def _worst(verdicts: list[Verdict], asked: int) -> Iterator[str]:
    """Say in words what the colour says."""
    if (bad := worst(verdicts)) is not Verdict.PASS:
        yield f"{verdicts.count(bad)} {bad}"
    if missing := asked - len(verdicts):
        yield f"{missing} no result"


def _colour(verdicts: list[Verdict], asked: int) -> str:
    bad = worst(verdicts)
    hung = len(verdicts) < asked and bad.harm < Verdict.LOAD_FAILED.harm
    return NO_RESULT if hung else COLOURS[bad]
