"""A repro as an issue for upstream, in Markdown."""

import re
from collections.abc import Mapping

from conformance.judging.pasted import without_paths
from conformance.report.repro.parts import Parts, requirements
from conformance.report.repro.plan import Repro
from conformance.report.repro.script import templates
from conformance.report.repro.words import words

TRACEBACK = 20_000
"""The most characters of a traceback: GitHub takes 65,536 for an issue."""

FRAME = re.compile(r'  File "')
OWN_FRAME = re.compile(r'  File "[^"]*\bconformance/(?:axes|roundtrip)/')
PLACE = re.compile(r'File "[^"]*/(?:site-packages|lib/python[\d.]+)/')


def issue(repro: Repro, scripts: Mapping[str, str], writer: Repro | None = None) -> str:
    """Return title, environment, scripts, and what was wanted and seen.

    Args:
        repro: what is shown.
        scripts: the scripts by file name.
        writer: for an exchange, the part of the writer.
    """
    traceback = _end(foreign(repro.defect.traceback if repro.defect else ""))
    versions = _versions(repro)
    if writer is not None:
        ours = _versions(writer)
        versions = {
            name: f"{ours.get(name, 'none')} wrote, {version} read"
            if ours.get(name) != version
            else version
            for name, version in versions.items()
        }
    return (
        templates()
        .get_template("issue.md.j2")
        .render(
            w=words(repro),
            versions={**versions, **repro.machine},
            scripts=scripts,
            traceback=traceback,
            fence=_fence("\n".join((*scripts.values(), traceback))),
        )
    )


def _versions(repro: Repro) -> dict[str, str]:
    pinned = [each.partition("==")[0] for each in requirements(repro)]
    python = {"python": repro.versions["python"]} if "python" in repro.versions else {}
    return {
        **{name: repro.versions[name] for name in pinned if name in repro.versions},
        **(python or {"python": Parts(repro).python}),
    }


def _fence(text: str) -> str:
    """Return a fence that is longer than every run of backticks in the text."""
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _end(traceback: str) -> str:
    """Keep the end, which says what was raised."""
    return traceback if len(traceback) <= TRACEBACK else f"...\n{traceback[-TRACEBACK:]}"


def foreign(traceback: str) -> str:
    """Leave out the suite's own frames, colours, and where files lie on this machine."""
    kept: list[str] = []
    own = False
    for line in traceback.splitlines():
        if FRAME.match(line):
            own = OWN_FRAME.match(line) is not None
        elif not line.startswith("    "):
            own = False
        if not own:
            kept.append(without_paths(PLACE.sub('File "', line)))
    return "\n".join(kept)
