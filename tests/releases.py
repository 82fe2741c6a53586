"""What whole runs under several releases gave, made small: one entry for cases that broke alike.

    python tests/releases.py RESULTS... > tests/expected/releases.json

`test_releases.py` judges it by the expectations. Of a finding one path is kept, of a traceback
nothing, and of a case without a result its name is left out.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conformance.judging.exchange import label
from conformance.judging.measured import LONGEST
from conformance.judging.pasted import without_paths
from conformance.judging.results import Results, read_results
from conformance.roundtrip.outcome import Failure, Finding, Outcome

KEPT = Path(__file__).with_name("expected") / "releases.json"


@dataclass(frozen=True, eq=False)
class Release:
    """One environment and its outcomes."""

    label: str
    versions: Mapping[str, str]
    outcomes: tuple[Outcome, ...]


def short(results: Results) -> dict[str, Any]:
    """Return a run, ready for JSON."""
    measured = [r.outcome for r in results.cases.values() if r.outcome.no_result is None]
    subjects = sorted({each.case.partition(".")[0] for each in measured})
    kinds: dict[str, list[str]] = {}
    for each in measured:
        kinds.setdefault(json.dumps(_broke(each)), []).append(each.case)
    groups = [
        {**json.loads(kind), "cases": _folded(cases, subjects)} for kind, cases in kinds.items()
    ]
    return {"versions": dict(results.header.versions), "subjects": subjects, "kinds": groups}


def _broke(outcome: Outcome) -> dict[str, Any]:
    """Return what wants an excuse, without what differs between cases that broke alike."""
    found = {(f.check, f.stage, f.what, f.reader): f for f in reversed(outcome.findings)}
    findings = [asdict(_bare(found[key])) for key in sorted(found)]
    failure = None if outcome.failure is None else asdict(_short(outcome.failure))
    return {"findings": findings, "failure": failure}


def _bare(finding: Finding) -> Finding:
    return replace(finding, path="", wanted="", got="")


def _short(failure: Failure) -> Failure:
    message = without_paths(failure.message)[:LONGEST]
    left = (
        failure.leftovers if failure.leftovers in ((), ("config.json",)) else ("config.json", "*")
    )
    return replace(failure, traceback="", message=message, leftovers=left)


def _folded(cases: Iterable[str], subjects: Iterable[str]) -> list[str]:
    """Write `*` for a subject where all of them are meant."""
    rest: dict[str, set[str]] = {}
    for case in cases:
        subject, _, other = case.partition(".")
        rest.setdefault(other, set()).add(subject)
    return [
        name
        for other, of in rest.items()
        for name in (
            [f"*.{other}"] if of == set(subjects) else [f"{s}.{other}" for s in sorted(of)]
        )
    ]


def releases(path: Path = KEPT) -> Iterator[Release]:
    """Yield what is kept, as outcomes again."""
    for name, data in json.loads(path.read_text(encoding="utf-8")).items():
        outcomes = [
            Outcome.from_json(
                {**asdict(Outcome(case)), "findings": k["findings"], "failure": k["failure"]}
            )
            for k in data["kinds"]
            for case in _unfolded(k["cases"], data["subjects"])
        ]
        yield Release(name, data["versions"], tuple(outcomes))


def _unfolded(cases: Iterable[str], subjects: Iterable[str]) -> Iterator[str]:
    for case in cases:
        subject, _, other = case.partition(".")
        yield from (f"{each}.{other}" for each in (subjects if subject == "*" else (subject,)))


if __name__ == "__main__":
    runs = [read_results(Path(path)) for path in sys.argv[1:]]
    print(json.dumps({label(run.header.versions): short(run) for run in runs}, indent=0))
