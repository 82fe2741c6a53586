"""What somebody pastes: a traceback, the last line of one, or some words of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.judging.signature import signature

_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_RAISED = re.compile(
    r"^(?:E\s+|saw |[\w-]+ at \w+: )?"
    r"(?P<type>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning))"
    r"(?: at \w+ \(\w+ reader\))?(?::\s?(?P<message>.*))?$"
)
"""The line that names what was raised: of Python, of pytest, of a repro, or of a run."""
_ENDS = re.compile(r"^(Traceback \(most recent|During handling of|The above exception was)")
_QUOTED = re.compile(r"""(['"])(?:~|\.{1,2})?/(?!/)[^'"]*\1""")
_BARE = re.compile(r"""(?<![\w/<.~'"])/(?!/)[\w.-]+(?:/[\w.-]+)+""")


@dataclass(frozen=True)
class Raised:
    """One exception of a traceback."""

    type: str
    """As written: `_pickle.UnpicklingError`, `OSError`."""
    message: str

    @property
    def signature(self) -> str:
        """What stays equal when the same failure happens elsewhere."""
        return f"{self.type.rpartition('.')[2]}: {signature(self.message)}"


def raised_in(text: str) -> tuple[Raised, ...]:
    """Return the exceptions of a traceback in their order, so that the last is what ended it.

    A message goes on until the next traceback begins. A line that merely looks like one, without a
    traceback before it, counts too: people paste the last line only.
    """
    found: list[Raised] = []
    for kind, lines in _messages(_COLOURS.sub("", text)):
        found.append(Raised(kind, "\n".join(lines).strip()))
    return tuple(found)


def _messages(text: str) -> Iterator[tuple[str, list[str]]]:
    kind, lines = "", list[str]()
    for line in text.splitlines():
        begins = _RAISED.match(line)
        if (begins or _ENDS.match(line)) and kind:
            yield kind, lines
            kind, lines = "", []
        if begins:
            kind, lines = begins["type"], [begins["message"] or ""]
        elif kind:
            lines.append(line)
    if kind:
        yield kind, lines


def without_paths(text: str) -> str:
    """Return a message with the paths of the machine that said it cut out."""
    return _BARE.sub("<path>", _QUOTED.sub(r"\1<path>\1", _COLOURS.sub("", text)))
