"""The coverage check: every Linear that the scheme covers, and nothing else, is quantized."""

from conformance.case import find
from conformance.roundtrip.checks.coverage import CHECK
from conformance.roundtrip.evidence import Evidence
from conformance.roundtrip.facts import ModelFacts, TensorFacts
from conformance.roundtrip.record import Output, Record

CASE = find("flux-tiny.int8wo.quantize_.pickle.cpu")
SHAPE = (16, 32)


def tensor(subclass: str) -> TensorFacts:
    return TensorFacts("parameter", subclass, "torch.bfloat16", SHAPE, (32, 1), False, {}, {})


def found(**subclasses: str) -> list[tuple[str, str]]:
    facts = ModelFacts({key: tensor(name) for key, name in subclasses.items()}, ())
    record = Record(CASE.id, 0, facts, None, {}, 0, {}, None, Output("", "", ()))
    linears = {"a": SHAPE, "b": SHAPE}
    findings = CHECK.findings(Evidence(CASE, record, tensors=("Int8Tensor",), linears=linears))
    return [(each.path, each.what) for each in findings]


def test_every_linear_quantized_as_promised_is_no_finding() -> None:
    assert found(a="Int8Tensor", b="Int8Tensor", norm="Parameter") == []


def test_each_way_to_be_wrong_is_a_finding() -> None:
    assert found(a="Parameter", b="Float8Tensor", norm="Int8Tensor") == [
        ("a", "left unquantized"),
        ("b", "quantized to another subclass"),
        ("norm", "quantized, though it should not be"),
    ]


def test_a_linear_that_is_gone_is_a_finding() -> None:
    assert found(a="Int8Tensor") == [("b", "gone after quantizing")]
