"""What an outcome is worth: one verdict, and the first stage that broke."""

import re
from collections.abc import Iterable

from conformance._compat import StrEnum
from conformance.roundtrip.outcome import Failure, Finding, Harm, Outcome, Stage


class Verdict(StrEnum):
    """What a measured case is worth, in order of harm."""

    PASS = "pass"
    """What came back is what was saved."""
    REFUSED = "refused"
    """A clear, typed "not supported" before anything was left on disk."""
    ALTERED = "altered"
    """It loads, weights and outputs are equal; something else is not."""
    QUANTIZE_FAILED = "quantize-failed"
    """The route raised something else than a refusal, before anything was written."""
    SAVE_FAILED = "save-failed"
    """A save raised something else than a refusal, or left files behind."""
    LOAD_FAILED = "load-failed"
    """The checkpoint was written, and it or what it gave cannot be used."""
    CORRUPT = "corrupt"
    """It loads, silently, to something else."""

    @property
    def harm(self) -> int:
        """Its place in the order: 0 for a pass, highest for a silent corruption."""
        return tuple(Verdict).index(self)


Break = Failure | Finding
"""One thing that went wrong in a case."""

REFUSAL_TYPES = frozenset(
    {"ValueError", "NotImplementedError", "TypeError", "ImportError", "ModuleNotFoundError"}
)
"""The exception types that say "you cannot have this" rather than "something went wrong"."""

REFUSAL_MESSAGE = re.compile(
    r"\b(?:not|isn't|aren't)(?: (?!JSON)\w+){0,3}? (?:supported|serializable|available|installed)\b"
    r"|\bunsupported\b(?! operand)"
    r"|\b(?:does not|doesn't|do not|don't|cannot) support\b(?! item | indexing| the [\w ]*protocol)"
    r"|\bonly\b.{0,120}?\bsupported\b"
    r"|\bonly supports?\b"
    r"|\brequires\b(?! \d+ positional)"
    r"|\brequired version\b"
    r"|\byou need to have\b"
    r"|\bplease (?:install|upgrade|use)\b",
    re.IGNORECASE | re.DOTALL,
)
"""A message that tells its reader what is not possible, or what is needed for it.

Python's own texts about operands, items, protocols and JSON use the same words for ordinary bugs
(`unsupported operand type(s)`, `does not support item assignment`, `is not JSON serializable`):
they are left out.
"""


def worst_to_best() -> tuple[Verdict, ...]:
    """Every verdict, the most harmful first."""
    return tuple(reversed(Verdict))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most harmful of them; `pass` when there is none."""
    return max(verdicts, key=lambda verdict: verdict.harm, default=Verdict.PASS)


def stage_order(stage: Stage) -> int:
    """Return the rung of a stage on the ladder, 0 for the first."""
    return tuple(Stage).index(stage)


def breaks(outcome: Outcome) -> tuple[Break, ...]:
    """Everything that went wrong: the findings, then the failure."""
    failure = () if outcome.failure is None else (outcome.failure,)
    return (*outcome.findings, *failure)


def is_refusal(failure: Failure) -> bool:
    """Is it a typed and clear "not supported"? Where it came and what it left is not asked."""
    named = failure.type.rpartition(".")[2]
    return named in REFUSAL_TYPES and REFUSAL_MESSAGE.search(failure.message) is not None


def verdict_of_break(broken: Break) -> Verdict:
    """Return the verdict of a case in which nothing but this went wrong."""
    if isinstance(broken, Finding):
        return Verdict.CORRUPT if broken.harm is Harm.CORRUPT else Verdict.ALTERED
    if broken.stage is Stage.RESAVE:
        return Verdict.SAVE_FAILED
    if stage_order(broken.stage) > stage_order(Stage.SAVE):
        return Verdict.LOAD_FAILED
    if is_refusal(broken) and not broken.leftovers:
        return Verdict.REFUSED
    return Verdict.SAVE_FAILED if broken.stage is Stage.SAVE else Verdict.QUANTIZE_FAILED


def verdict_of(outcome: Outcome) -> Verdict | None:
    """Return the worst that happened, or None for a case that has no result."""
    if outcome.no_result is not None:
        return None
    return worst(verdict_of_break(each) for each in breaks(outcome))


def stage_of(outcome: Outcome) -> Stage | None:
    """Return the first stage that broke; for a case without result, the one it stopped in."""
    if outcome.no_result is not None:
        return outcome.no_result.stage
    return min((each.stage for each in breaks(outcome)), key=stage_order, default=None)
