"""What a difference of structure means when a release reads what another one wrote.

A release may rename a tensor subclass or give it one more inner tensor or attribute: within one
version that is a defect, between two it is harm only if bits or outputs differ, too.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from conformance.roundtrip.facts import ModelFacts, TensorFacts
from conformance.roundtrip.outcome import Finding, Harm

OF_THE_OUTPUT = frozenset({"output", "accuracy", "picture", "likeness"})


def bits_kept(wanted: ModelFacts, got: ModelFacts) -> bool:
    """Is every recorded run of bits there, under the same key, whatever it is called now?"""
    return all(
        key in got.tensors and not _digests(facts) - _digests(got.tensors[key])
        for key, facts in wanted.tensors.items()
    )


def _digests(facts: TensorFacts) -> "Counter[tuple[str, str]]":
    """Count the inner tensors by what they hold; one on the meta device holds nothing."""
    return Counter(
        (each.digest, each.dtype) for each in facts.inner.values() if each.digest or not each.bytes
    )


def settled(
    findings: Iterable[Finding], wanted: ModelFacts, got: ModelFacts, *, output_judged: bool
) -> list[Finding]:
    """Return the findings, those of structure as `altered` where the bits are all there.

    Without an output nobody knows what a changed attribute does to the weights, so that only what
    is new counts as harmless.
    """
    findings = list(findings)
    if not bits_kept(wanted, got):
        return findings
    return [
        replace(each, harm=Harm.ALTERED)
        if each.check not in OF_THE_OUTPUT and (output_judged or _is_new(each, wanted))
        else each
        for each in findings
    ]


def _is_new(finding: Finding, wanted: ModelFacts) -> bool:
    key, _, name = finding.path.partition("/")
    facts = wanted.tensors.get(key)
    if finding.check == "attributes":
        return facts is not None and name not in facts.attributes
    return finding.what == "inner tensor is unexpected"


def of_output(finding: Finding) -> bool:
    """Is it about what the model computes?"""
    return finding.check in OF_THE_OUTPUT


def excused(finding: Finding) -> Finding:
    """Return a finding about the output for a reader that computes otherwise even unquantized."""
    if not of_output(finding):
        return finding
    what = f"{finding.what}, as does the unquantized model's"
    return replace(finding, harm=Harm.ALTERED, what=what)


def condensed(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for all that differ in nothing but the tensor; its path counts them."""
    return [
        replace(first, path=f"{first.path} and {len(others)} more" if others else first.path)
        for _, alike in groupby(sorted(findings, key=_likeness), key=_likeness)
        for first, *others in [list(alike)]
    ]


def _likeness(finding: Finding) -> tuple[str, str, str, str]:
    return finding.stage, finding.check, finding.what, finding.harm
