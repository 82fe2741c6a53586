"""What came back, by scheme, route and format: support tables. Reads results; runs nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.axes import registry
from conformance.case import all_cases, default_routes, find
from conformance.judging.judge import Judgement
from conformance.judging.results import Results
from conformance.judging.verdicts import Verdict, worst, worst_to_best
from conformance.report.github import cell, code, plain, table
from conformance.report.text import shortened
from conformance.roundtrip.outcome import NoResultKind

LETTERS: Mapping[Verdict, str] = {
    Verdict.PASS: "=",
    Verdict.REFUSED: "R",
    Verdict.ALTERED: "a",
    Verdict.QUANTIZE_FAILED: "Q",
    Verdict.SAVE_FAILED: "S",
    Verdict.LOAD_FAILED: "L",
    Verdict.CORRUPT: "C",
}
NOT_MEASURED = "."
NO_RESULT = "?"
"""It hung, died, or was no measurement."""
MIXED = "~"
"""Not all subjects ended alike: the letter is the worst."""
UNJUDGED = "\u00b0"
"""Behind a scheme: its kernel is not there, so its tensors were built and stored, not used."""
BY_LETTER: Mapping[str, str] = {
    **{letter: str(verdict) for verdict, letter in LETTERS.items()},
    NO_RESULT: "no result",
    NOT_MEASURED: "not measured",
}
HARMLESS = (Verdict.PASS, Verdict.REFUSED, Verdict.ALTERED)
HARMFUL = frozenset(letter for verdict, letter in LETTERS.items() if verdict not in HARMLESS)
SCHEMES_SHOWN = 6
"""Named in a row of the small table."""
BEHIND = (
    f"`{MIXED}` behind it: the worst, of subjects that did not end alike; "
    f"`{UNJUDGED}` behind a scheme: this machine lacks its kernel, so no output was judged"
)
LEGEND = f"{', '.join(f'`{letter}` {word}' for letter, word in BY_LETTER.items())}; {BEHIND}"
Row = tuple[str, ...]


@dataclass(frozen=True)
class Support:
    """The judgements of one run by scheme, route and format."""

    results: Results
    judged: Mapping[tuple[str, str, str], tuple[Judgement, ...]]

    @classmethod
    def of(cls, results: Results) -> "Support":
        """Sort the cases of a run by their axes.

        Raises:
            UsageError: the run has a case that this suite does not know.
        """
        found: dict[tuple[str, str, str], list[Judgement]] = {}
        for name, result in results.cases.items():
            case = find(name)
            key = (case.scheme.name, case.route.name, case.format.name)
            found.setdefault(key, []).append(result.judgement)
        return cls(results, {key: tuple(each) for key, each in found.items()})

    def letter(self, scheme: str, route: str, form: str) -> str:
        """Return what the subjects came to, in one letter and what stands behind it."""
        judged = self.judged.get((scheme, route, form), ())
        marks = {_mark(each) for each in judged}
        verdicts = [each.verdict for each in judged if each.verdict is not None]
        bad = worst(verdicts)
        if NO_RESULT in marks and bad is not Verdict.CORRUPT:
            first = NO_RESULT
        else:
            first = LETTERS[bad] if verdicts else NOT_MEASURED
        return first + (MIXED if len(marks) > 1 else "")

    def formats(self) -> tuple[str, ...]:
        """Name the formats that a case was measured of."""
        asked = {key[2] for key, each in self.judged.items() if _any_asked(each)}
        return tuple(name for name in registry.formats() if name in asked)

    def measured(self, scheme: str) -> bool:
        """Was a case of the scheme measured?"""
        return any(key[0] == scheme and _any_asked(each) for key, each in self.judged.items())

    def named(self, scheme: str) -> str:
        """Return the name of a scheme, marked where no output was judged."""
        held = self.results.cases.items()
        outcomes = (each.outcome for name, each in held if _scheme(name) == scheme)
        unjudged = any(each.storage_only for each in outcomes)
        return scheme + (UNJUDGED if unjudged else "")

    def reasons(self, scheme: str) -> list[str]:
        """Why its cases were skipped, each reason once."""
        names = (name for name in self.results.cases if _scheme(name) == scheme)
        ends = (self.results.cases[name].outcome.no_result for name in names)
        return list(dict.fromkeys(end.reason.strip() for end in ends if end is not None))


def _scheme(case: str) -> str:
    return all_cases()[case].scheme.name


def _mark(judgement: Judgement) -> str:
    if judgement.verdict is not None:
        return LETTERS[judgement.verdict]
    return NOT_MEASURED if judgement.no_result is NoResultKind.SKIPPED else NO_RESULT


def _any_asked(judged: Iterable[Judgement]) -> bool:
    return any(_mark(each) != NOT_MEASURED for each in judged)


def verdict_table(results: Results, words: Mapping[Verdict, str]) -> list[str]:
    """Return how many cases have each verdict, worst first, with what each means."""
    counts = results.tally.verdicts
    rows = ((str(each), str(counts[each]), words[each]) for each in worst_to_best())
    return table(("verdict", "cases", "what it means"), rows, "lrl")


def compact(support: Support) -> list[str]:
    """Return one small table: schemes that came to the same share a row, formats a column."""
    alike: dict[Row, list[str]] = {}
    for scheme in _measured(support):
        row = tuple(_said(support, scheme, form) for form in support.formats())
        alike.setdefault(row, []).append(scheme)
    largest = sorted(alike.items(), key=lambda pair: -len(pair[1]))
    columns: dict[Row, list[str]] = {}
    for index, form in enumerate(support.formats()):
        columns.setdefault(tuple(row[index] for row, _ in largest), []).append(form)
    head = ("schemes", *(", ".join(forms) for forms in columns.values()))
    names = (_few(support, names) for _, names in largest)
    return table(head, zip(names, *columns, strict=True))


def _said(support: Support, scheme: str, form: str) -> str:
    """Return what each route came to, in words; in one, where all came to the same."""
    letters = (support.letter(scheme, route, form) for route in default_routes())
    return " / ".join(dict.fromkeys(map(spelt, letters)))


def spelt(letter: str) -> str:
    """Return the word for a letter of a table, with the mark behind it; bold, if it does harm."""
    word = BY_LETTER[letter[0]]
    return f"**{word}**{letter[1:]}" if letter[0] in HARMFUL else word + letter[1:]


def _few(support: Support, schemes: Sequence[str]) -> str:
    """Name some of the schemes, those with plain names first, and count the others."""
    plain_first = sorted(schemes, key=lambda name: "-" in name)
    more = len(schemes) - SCHEMES_SHOWN
    shown = schemes if more < 2 else plain_first[:SCHEMES_SHOWN]
    named = ", ".join(map(support.named, shown))
    return f"{named} and {more} more" if more > 1 else named


def by_route(support: Support, route: str) -> list[str]:
    """Return the table of one route: a row a scheme, a column a format."""
    forms = support.formats()
    rows = (
        (
            code(support.named(scheme)),
            *(f"`{support.letter(scheme, route, form)}`" for form in forms),
        )
        for scheme in _measured(support)
    )
    return table(("scheme", *forms), rows)


def not_measured(support: Support) -> list[str]:
    """Return the schemes that were not measured, with the reasons, equal ones in one row."""
    reasons: dict[tuple[str, ...], list[str]] = {}
    for scheme in registry.schemes():
        if not support.measured(scheme):
            reasons.setdefault(tuple(support.reasons(scheme)), []).append(scheme)
    rows = (
        (", ".join(names), "<br>".join(cell(shortened(each)) for each in said) or "no case was run")
        for said, names in reasons.items()
    )
    return table(("schemes", "why"), rows)


def surroundings(results: Results) -> str:
    """Return one sentence: versions, machine, how many cases."""
    header, counts = results.header, results.tally
    versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
    return (
        f"{counts.measured} of {counts.cases} cases measured on {plain(header.started[:10])} with "
        f"{plain(versions)}; GPU: {plain(header.hardware.get('gpu', 'unknown'))}."
    )


def _measured(support: Support) -> Iterator[str]:
    """Name the schemes that a case was measured of."""
    return (name for name in registry.schemes() if support.measured(name))
