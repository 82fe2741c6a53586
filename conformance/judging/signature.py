"""The cause of a failure, without what differs between two runs of the same failure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from conformance.judging.verdicts import (
    Break,
    Verdict,
    breaks,
    stage_order,
    verdict_of_break,
)
from conformance.roundtrip.outcome import Finding, NoResultKind, Outcome, Stage

_TENSOR_NAME = (
    r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)*"
    r"\.(?:\d+(?:\.\w+)*|weight|bias|scale|qdata|zero_point)\b"
)

_PATHS: tuple[tuple[str, str], ...] = (
    # A quoted path may hold spaces; one without quotes ends at the first.
    (r"""(?<!\w)(['"`])(?:~|\.{1,2})?/(?!/)[^'"`]*\1""", r"\1<path>\1"),
    (r"""(?<![\w/<.~])(?:~|\.{1,2})?/(?!/)[^\s'"`,;:()<>\[\]{}]+""", "<path>"),
)
_PLACEHOLDERS: tuple[tuple[str, str], ...] = (
    *_PATHS,
    (r"\b0x[0-9a-fA-F]+", "<address>"),
    (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
    (r"\b(?=[0-9a-f]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{16,}\b", "<id>"),
    (r"\btmp[a-z0-9_]{8}\b", "<id>"),
    # Quoted and dotted is a tensor or a module; ending in a capitalised word it is a class.
    (r"""(?<!\w)(['"`])\w+(?:\.\w+)*\.(?![A-Z])\w+\1""", r"\1<name>\1"),
    (_TENSOR_NAME, "<name>"),
    (r"(?<!\w)\d+(?:x\d+)+(?!\w)", "#"),
    (r"(?<!\w)[-+]?\d+(?:\.\d+)*(?:[eE][-+]?\d+)?(?:\s?(?:[kKMGT]i?B|bytes?)\b|(?!\w))", "#"),
    # A list of what is already replaced is as long as the model is deep: once says it.
    (r"""((['"`]?)(?:#|<\w+>)\2)(?:\s*,\s*\1)+""", r"\1"),
)
_RULES = tuple((re.compile(pattern), placeholder) for pattern, placeholder in _PLACEHOLDERS)
_DOTTED = r"\w+(?:\.\w+)+"
_SETS = re.compile(rf"\{{(?P<inside>[^{{}}]*)\}}|(?<![\w.]){_DOTTED}(?:, {_DOTTED})+(?![\w.])")
"""What may be a set in random order: what stands in braces, and a list of dotted names."""


def signature(text: str) -> str:
    """Return the text without what may differ between two runs of the same failure.

    Addresses, paths, temporary names, ids, tensor names, shapes, counts and sizes become
    placeholders, repeated lines are said once, and what stands in braces or is a list of dotted
    names is sorted, since sets print in random order. Names of classes, attributes and dtypes
    stay: they tell causes apart.
    """
    # Every pass removes digits, slashes, dots or commas, which no placeholder has, or only
    # sorts; so this ends, and the result of `signature` is its own signature.
    while (shorter := _one_pass(text)) != text:
        text = shorter
    return text


def without_paths(text: str) -> str:
    """Return the text with `<path>` for every path, line by line; it has the same signature."""
    lines = text.splitlines(keepends=True)
    for pattern, placeholder in _PATHS:
        lines = [re.sub(pattern, placeholder, line) for line in lines]
    return "".join(lines)


def _one_pass(text: str) -> str:
    lines = (_placeholders(" ".join(line.split())) for line in text.splitlines())
    distinct = " ".join(dict.fromkeys(line for line in lines if line))
    return _SETS.sub(_sorted, distinct)


def _placeholders(line: str) -> str:
    for pattern, placeholder in _RULES:
        line = pattern.sub(placeholder, line)
    return line


def _sorted(match: re.Match[str]) -> str:
    inside: str | None = match["inside"]
    elements = (match[0] if inside is None else inside).split(",")
    ordered = ", ".join(sorted({element.strip() for element in elements}))
    return ordered if inside is None else "{" + ordered + "}"


@dataclass(frozen=True)
class Cause:
    """Why a case is not a pass; equal for cases that fail alike."""

    ending: Verdict | NoResultKind
    stage: Stage | None
    name: str
    """The check that found it, or the type of the exception; empty without a result."""
    signature: str

    def __str__(self) -> str:
        place = f" at {self.stage}" if self.stage else ""
        what = ": ".join(part for part in (self.name, self.signature) if part)
        return f"{self.ending}{place}: {what}"

    @property
    def worst_first(self) -> tuple[int, int, str, str]:
        """A sort key: verdicts by harm, then cases without result, then by stage and text."""
        rung = -1 if self.stage is None else stage_order(self.stage)
        return (_place(self.ending), rung, self.name, self.signature)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Cause":
        """Rebuild a cause from `to_json`'s dictionary.

        Raises:
            KeyError, ValueError: the dictionary is not a cause.
        """
        stage = data["stage"]
        ending: Callable[[str], Verdict | NoResultKind] = (
            Verdict if data["ending"] in tuple(Verdict) else NoResultKind
        )
        return cls(
            ending(data["ending"]), Stage(stage) if stage else None, data["name"], data["signature"]
        )


def _place(ending: Verdict | NoResultKind) -> int:
    if isinstance(ending, Verdict):
        return -ending.harm
    return len(NoResultKind) - tuple(NoResultKind).index(ending)


def cause_of(outcome: Outcome) -> Cause | None:
    """Return the cause of the outcome's verdict, or None for a pass.

    Of many findings it is the most harmful, and of these the first on the ladder.
    """
    ended = outcome.no_result
    if ended is not None:
        return Cause(ended.kind, ended.stage, "", signature(ended.reason))
    causes = (Cause(verdict_of_break(each), each.stage, *_named(each)) for each in breaks(outcome))
    return min(causes, key=lambda cause: cause.worst_first, default=None)


def _named(broken: Break) -> tuple[str, str]:
    if isinstance(broken, Finding):
        return broken.check, signature(broken.what)
    return broken.type, signature(broken.message)
