"""One run as JUnit XML, for the test reports of CI systems. Reads results; runs nothing.

Valid under the schema of Ant, which is the strict one, and under Jenkins' own. Only what came back
as it was saved is a passed test. A declared defect is a skipped test that says so, as pytest tells
an expected failure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from conformance._compat import StrEnum
from conformance.judging.results import Result, Results
from conformance.judging.verdicts import Verdict
from conformance.report.text import printable, rerun_command
from conformance.roundtrip.outcome import NoResultKind

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""The characters that XML 1.0 cannot hold, not even as a reference."""
HOST = "localhost"
"""Ant's schema wants a host; which machine it was says nothing about the versions."""


class Ending(StrEnum):
    """What JUnit calls the end of a test other than a pass: the names of its elements."""

    FAILURE = "failure"
    """Not as expected."""
    ERROR = "error"
    """The suite cannot vouch for it."""
    SKIPPED = "skipped"
    """No result, or a declared defect."""


@dataclass(frozen=True)
class Test:
    """One `testcase`."""

    suite: str
    name: str
    seconds: float = 0.0
    ending: Ending | None = None
    """None for a pass."""
    type: str = ""
    message: str = ""
    text: str = ""


def junit(results: Results, schemes: Mapping[str, str]) -> str:
    """Return the run as JUnit XML: a suite a scheme, and one about the run as a whole.

    `schemes` gives the scheme by case id; cases that it lacks are in a suite `other`.
    """
    tests = [_case(each, schemes.get(name, "other")) for name, each in results.cases.items()]
    tests.sort(key=lambda test: test.suite)
    root = Element("testsuites")
    for number, (suite, members) in enumerate(
        groupby([*_whole(results), *tests], key=lambda test: test.suite)
    ):
        root.append(_suite(number, suite, list(members), results))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def xml_text(text: str) -> str:
    """Return text that XML 1.0 can hold: what it cannot is shown as `\\x00`."""
    return NOT_XML.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _whole(results: Results) -> Iterator[Test]:
    """What is asked of the run and of none of its cases, so that XML and exit code agree."""
    missing = results.header.planned - len(results.cases)
    yield _asked(
        "every planned case was run", missing and f"{missing} cases were not run", Ending.ERROR
    )
    measured = results.tally.measured
    yield _asked("a case was measured", not measured and "none was", Ending.ERROR)
    unused = ", ".join(results.footer.unused)
    yield _asked("every expectation was put to the test", unused, Ending.FAILURE)


def _asked(name: str, wrong: object, ending: Ending) -> Test:
    if not wrong:
        return Test("the run", name)
    return Test("the run", name, ending=ending, type=str(ending), message=str(wrong))


def _case(result: Result, suite: str) -> Test:
    outcome, judgement = result.outcome, result.judgement
    seconds = sum(step.seconds for step in outcome.steps)
    ended = str(judgement.verdict or judgement.no_result)
    ending, message = _ending(result)
    return Test(suite, judgement.case, seconds, ending, ended, message, _text(result, ending))


def _ending(result: Result) -> tuple[Ending | None, str]:
    judgement, absent = result.judgement, result.outcome.no_result
    said = str(judgement.cause or "")
    if not judgement.as_expected:
        harness = judgement.no_result is NoResultKind.HARNESS_ERROR
        return (Ending.ERROR if harness else Ending.FAILURE), "; ".join(judgement.reasons)
    if absent is not None:
        return Ending.SKIPPED, absent.reason.strip()
    if judgement.verdict is Verdict.PASS:
        return None, ""
    return Ending.SKIPPED, f"declared by {', '.join(judgement.covered_by)}: {said}"


def _text(result: Result, ending: Ending | None) -> str:
    """What a person looks at first: findings, traceback, and the command that runs it again."""
    if ending not in (Ending.FAILURE, Ending.ERROR):
        return ""
    outcome = result.outcome
    lines = [
        f"{each.check} at {each.stage}: {each.path}: {each.what} "
        f"(wanted {each.wanted}, got {each.got}; {each.reader} reader)"
        for each in outcome.findings
    ]
    if outcome.failure is not None:
        lines += [f"{outcome.failure.type}: {outcome.failure.message}", outcome.failure.traceback]
    if outcome.no_result is not None:
        lines.append(outcome.no_result.reason)
    return "\n".join([*lines, f"again: {rerun_command(outcome.case)}"])


def _suite(number: int, name: str, tests: Iterable[Test], results: Results) -> Element:
    members = list(tests)
    counts = {
        plural: str(sum(test.ending is ending for test in members))
        for ending, plural in PLURALS.items()
    }
    suite = Element(
        "testsuite",
        id=str(number),
        name=name,
        package="conformance",
        hostname=HOST,
        timestamp=results.header.started[:19],
        tests=str(len(members)),
        time=_seconds(sum(test.seconds for test in members)),
        **counts,  # type: ignore[arg-type]  # the stub takes the names for those of `attrib`
    )
    properties = SubElement(suite, "properties")
    for key, value in {**results.header.versions, **results.header.hardware}.items():
        SubElement(properties, "property", name=_clean(key), value=_clean(value))
    for test in members:
        _add(suite, test)
    SubElement(suite, "system-out")
    SubElement(suite, "system-err")
    return suite


PLURALS = {Ending.FAILURE: "failures", Ending.ERROR: "errors", Ending.SKIPPED: "skipped"}
"""Where a suite counts each."""


def _add(suite: Element, test: Test) -> None:
    name = " ".join(_clean(test.name).split()) or "unnamed"
    attributes = {"name": name, "classname": f"conformance.{test.suite}"}
    element = SubElement(suite, "testcase", {**attributes, "time": _seconds(test.seconds)})
    if test.ending is not None:
        skipped = test.ending is Ending.SKIPPED  # which has no type in Ant's schema
        said = {} if skipped else {"type": test.type}
        said["message"] = _clean(test.message)
        SubElement(element, test.ending, said).text = _clean(test.text)


def _clean(text: str) -> str:
    return xml_text(printable(text))


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
