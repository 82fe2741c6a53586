"""Which words of a message tell a failure from others, wherever it is raised."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile

from conformance.judging.measured import Sample
from conformance.judging.pasted import Raised
from conformance.judging.signature import signature

FRAGMENT = 80
"""The most characters of a message that a script looks for."""
LONGEST = 160
"""The most of what was raised first: it ends in the full name of a class."""
HANDED_ON = re.compile(r"^.*?\berror: (.+)$", re.IGNORECASE | re.MULTILINE)
"""A message inside another, as torch puts what its unpickler raised."""

NAMED = re.compile(r".*\w\.\w+")
"""As far as the end of a dotted name."""
PIECE = re.compile(r"[^ .]*[ .]|[^ .]+")


def words_of(message: str, most: int = FRAGMENT) -> str:
    """Return words of the message that are the same wherever it is raised."""
    lines = message.strip().splitlines()
    pieces = [each.strip() for each in re.split(r"<\w+>|#", signature(message))]
    same = [each for each in pieces if any(each in line for line in lines)]
    words = max(same, key=len, default="") or (lines[0] if lines else "")
    if len(words) <= most:
        return words
    return words[:most].rpartition(" ")[0] or words[:most]


def cause_of(chain: Sequence[Raised]) -> str:
    """Return words of the first exception of a traceback; nothing where the last says them, too.

    diffusers answers whatever `torch.load` raises with one and the same message: by that alone a
    script takes any other reason for the one that it shows.
    """
    message = chain[0].message if chain else ""
    handed_on = HANDED_ON.search(message)
    sentence = (handed_on[1] if handed_on else message).partition(". ")[0]
    words = words_of(sentence, LONGEST)
    if not chain or words in chain[-1].message:
        return ""
    named = NAMED.match(words)
    return named[0] if named and len(words) > FRAGMENT else words


def pieces(text: str) -> list[str]:
    """Split it behind every blank and every dot; joined, they are the text again."""
    return PIECE.findall(text)


def common(texts: Iterable[str]) -> str:
    """Return the words, or parts of dotted names, that all of them begin with."""
    found = map(pieces, texts)
    same = takewhile(lambda words: len(set(words)) == 1, zip(*found, strict=False))
    return "".join(words[0] for words in same).strip()


def typical(said: Sequence[Sample]) -> Sample | None:
    """Return what was measured to be said, where it was always the same."""
    return said[0] if len(said) == 1 else None
