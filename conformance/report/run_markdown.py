"""One run as GitHub's Markdown, for the summary of a CI job or an issue. Runs nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from conformance.judging.judge import Judgement
from conformance.judging.results import Results
from conformance.judging.signature import signature
from conformance.judging.summary import causes_worst_first
from conformance.report.github import Fit, code, cut, plain, table
from conformance.report.markdown import cases_told, causes_told
from conformance.report.text import headline, rerun_command, shortened
from conformance.roundtrip.outcome import NoResultKind

Axes = Mapping[str, Mapping[str, str]]


def run_markdown(results: Results, axes: Axes, limit: int = Fit.STEP.limit) -> str:
    """Return headline, counts, versions, and causes, what is not as expected first.

    `axes` gives the axis values of every case by id. It has at most `limit` bytes of UTF-8, is cut
    between two lines, and then says so.
    """
    counts, footer = results.tally, results.footer
    first = headline(counts, footer.unused, results.header.planned)
    return cut([f"## {plain(first)}", *_sections(results, axes)], limit)


def _sections(results: Results, axes: Axes) -> Iterator[str]:
    judged = [each.judgement for each in results.cases.values()]
    yield from _counts(results)
    yield from _unexpected([each for each in judged if not each.as_expected])
    yield from _surroundings(results)
    declared = [each for each in judged if each.as_expected]
    skipped = NoResultKind.SKIPPED
    for title, some in (
        ("Declared", [each for each in declared if each.no_result is not skipped]),
        ("Skipped", [each for each in declared if each.no_result is skipped]),
    ):
        groups = causes_worst_first(some, axes, among=results.cases)
        if groups:
            yield from ("", f"### {title}", *causes_told(groups))


def _counts(results: Results) -> Iterator[str]:
    counts = results.tally
    endings = [*counts.verdicts.items(), *counts.no_results.items()]
    names = [
        (f"no result: {each}" if each in counts.no_results else str(each), n)
        for each, n in endings
        if n
    ]
    missing = results.header.planned - counts.cases
    rows = [*names, *([("not run", missing)] if missing else []), ("all", results.header.planned)]
    yield from ("", *table(("verdict", "cases"), ((name, str(n)) for name, n in rows), "lr"))


def _surroundings(results: Results) -> Iterator[str]:
    rows = [(plain(name), plain(version)) for name, version in results.header.versions.items()]
    yield from ("", *table(("distribution", "version"), rows))


def _unexpected(judged: Sequence[Judgement]) -> Iterator[str]:
    """Each reason once with the cases that have it, the most frequent one first."""
    if not judged:
        return
    found: dict[tuple[str, ...], list[Judgement]] = {}
    for each in judged:
        likeness = (str(each.cause or ""), *map(signature, each.reasons))
        found.setdefault(likeness, []).append(each)
    yield from ("", "### Not as expected")
    for alike in sorted(found.values(), key=_worst_first):
        yield from _reasons(alike[0])
        yield from cases_told([each.case for each in alike], "")
        yield from ("", f"Again: {code(rerun_command(alike[0].case))}")


def _worst_first(alike: Sequence[Judgement]) -> tuple[tuple[int, int, str, str], int]:
    cause = alike[0].cause
    return (cause.worst_first if cause else (0, 0, "", ""), -len(alike))


def _reasons(judgement: Judgement) -> Iterable[str]:
    ended = str(judgement.cause or judgement.verdict)
    yield from ("", f"**{code(shortened(ended))}**", "")
    yield from (f"- {code(shortened(each))}" for each in judgement.reasons)
