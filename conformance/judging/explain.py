"""Which entry of the catalogue is meant by a message, a traceback, or some words of them."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from enum import IntEnum

from conformance.judging.defects import Defect, Part
from conformance.judging.excuses import Differs, Raises
from conformance.judging.measured import Sample
from conformance.judging.pasted import Raised, raised_in
from conformance.judging.signature import signature

LEAST = 0.6
"""Share of the words, rare ones counting most, that an entry must hold to be near."""
COMPARED = 1200
"""Characters of two signatures that are compared: difflib takes quadratic time."""
OTHER_TYPE = 0.5
"""Weight of a type of exception that an entry does not have; of a word that it alone has: 1."""
WORDS = 60
"""Words of a text that are looked for."""
_WORD = re.compile(r"[A-Za-z_]{4,}")


class How(IntEnum):
    """How an entry was found, in order of certainty."""

    NEAR = 1
    """It holds most of the words."""
    SAID = 2
    """The words stand in its message, or its pattern in the text."""
    FOUND = 3
    """A line is what its check finds."""
    RAISED = 4
    """It is an exception on the way to the last one."""
    ENDED = 5
    """It is the last exception."""
    NAMED = 6
    """The text is its name."""


@dataclass(frozen=True)
class Answer:
    """An entry that may be meant."""

    defect: Defect
    how: How
    closeness: float
    """0 to 1: how much of what was said before the end is the same."""

    @property
    def rank(self) -> tuple[int, float]:
        """Greater is better; equal when the text does not tell two entries apart."""
        return (self.how, self.closeness)


def explain(text: str, defects: Iterable[Defect]) -> tuple[Answer, ...]:
    """Return the entries that may be meant, the best first; empty when nothing is near.

    Only answers of the best kind are returned: words that are near say nothing beside a message
    that is equal.
    """
    defects = tuple(defects)
    said = raised_in(text)
    found = [(each, how) for each in defects if (how := _how(text, said, each)) is not None]
    if not found:
        return _near(text, said, defects)
    best = max(how for _, how in found)
    answers = [Answer(each, how, _close(text, said, each)) for each, how in found if how is best]
    return tuple(sorted(answers, key=lambda answer: answer.rank, reverse=True))


def _how(text: str, said: Sequence[Raised], defect: Defect) -> How | None:
    if text.strip() in (defect.name, *(part.expectation.name for part in defect.parts)):
        return How.NAMED
    hows = (_how_part(text, said, part) for part in defect.parts)
    return max((how for how in hows if how is not None), default=None)


def _how_part(text: str, said: Sequence[Raised], part: Part) -> How | None:
    excuse = part.expectation.excuse
    if isinstance(excuse, Raises):
        if said and _foresaw(excuse, said[-1]):
            return How.ENDED
        if any(_foresaw(excuse, each) for each in said):
            return How.RAISED
    if isinstance(excuse, Differs) and not said and _finds(part, excuse, text):
        return How.FOUND
    # What a traceback ends with is what it is about: that it holds some words is no sign.
    return How.SAID if not said and _says(text, part) else None


def _foresaw(excuse: Raises, raised: Raised) -> bool:
    last = (raised.type.rpartition(".")[2], excuse.type.rpartition(".")[2])
    return last[0] == last[1] and excuse.match.search(raised.message) is not None


def _finds(part: Part, excuse: Differs, text: str) -> bool:
    known = {signature(sample.what) for sample in part.measured.samples}
    lines = {line.strip() for line in text.splitlines()}
    return any(excuse.what.fullmatch(line) or signature(line) in known for line in lines if line)


def _says(text: str, part: Part) -> bool:
    words = _plain(text)
    if words and any(words in _plain(sample.message) for sample in part.measured.samples):
        return True
    excuse = part.expectation.excuse
    return isinstance(excuse, Raises) and excuse.match.search(text) is not None


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()


def _close(text: str, said: Sequence[Raised], defect: Defect) -> float:
    """Compare as much of each measured chain as was pasted."""
    pasted = _joined(said) if said else signature(text)
    count = len(said) or 1
    return max((_ratio(pasted, _known(each, count)) for each in defect.samples), default=0.0)


def _known(sample: Sample, count: int) -> str:
    return _joined(sample.said[-count:]) if sample.said else signature(sample.what)


def _joined(said: Iterable[Raised]) -> str:
    return "\n".join(each.signature for each in said)


def _ratio(one: str, other: str) -> float:
    if one == other:
        return 1.0
    matcher = SequenceMatcher(None, one[-COMPARED:], other[-COMPARED:], autojunk=False)
    return min(round(matcher.ratio(), 6), 0.999999)


def _near(text: str, said: Sequence[Raised], defects: Sequence[Defect]) -> tuple[Answer, ...]:
    """Find entries that hold most of the words, also misspelt ones.

    Of an exception the words of its message are looked for; its type is missing everywhere: an
    entry of that type with that message would have been found before.
    """
    text = signature(said[-1].message) if said else text
    vocabularies = [_vocabulary(each) for each in defects]
    holders = Counter(word for words in vocabularies for word in words)
    asked = {_nearest(word, holders) for word in _words(text)[:WORDS]}
    weights = {word: 1 / holders[word] if word in holders else 1.0 for word in asked}
    whole = sum(weights.values()) + (OTHER_TYPE if said else 0.0)
    shares = [
        sum(weight for word, weight in weights.items() if word in words) / whole if whole else 0.0
        for words in vocabularies
    ]
    near = [
        Answer(each, How.NEAR, round(share, 6))
        for each, share in zip(defects, shares, strict=True)
        if share >= LEAST
    ]
    return tuple(sorted(near, key=lambda answer: answer.rank, reverse=True))


def _nearest(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.8)), word)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))


def _vocabulary(defect: Defect) -> set[str]:
    texts = [defect.name.replace("-", " ")]
    for part in defect.parts:
        texts += [part.expectation.reason, part.expectation.name.replace("-", " ")]
    for sample in defect.samples:
        texts += [sample.what, *(each.signature for each in sample.said)]
    return {word for text in texts for word in _words(text)}
