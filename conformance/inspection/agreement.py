"""Do `config.json` and the weights agree, and do two sets of weights in one folder?"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from conformance.inspection.config import Config
from conformance.inspection.findings import Finding, Kind, some
from conformance.inspection.kinds import TELLING, describe
from conformance.inspection.weights import Container, Weight

if TYPE_CHECKING:
    from conformance.inspection.whole import StateDict

WHERE = "config.json"


def agreement(
    weights: Sequence[Weight], container: Container | None, config: Config | None
) -> Iterator[Finding]:
    """Compare the quantization that `config.json` names with the weights that are loaded."""
    if config is None or not weights:
        return
    quantized = [each for each in weights if each.quantized]
    if config.method and config.method != "torchao":
        yield Finding(Kind.NOTE, WHERE, f"it names quant_method {config.method}, not torchao")
    elif config.method and not quantized:
        what = f"it says {config.key}, and no weight is quantized"
        yield Finding(Kind.DISAGREES, WHERE, what, "quantize again, or delete quantization_config")
    elif config.method:
        yield from _kinds(quantized, config)
    elif quantized:
        yield _silent(container)


def _silent(container: Container | None) -> Finding:
    if container is Container.PICKLE:
        what = "it says nothing of quantization, as after `quantize_`; a pickle does without"
        return Finding(Kind.NOTE, WHERE, what)
    what = "the weights are quantized, and it says nothing of quantization"
    mend = "from_pretrained cannot put these tensors together: save with TorchAoConfig instead"
    return Finding(Kind.DISAGREES, WHERE, what, mend)


def _kinds(quantized: Sequence[Weight], config: Config) -> Iterator[Finding]:
    """Every weight must be what some config in the file asks for."""
    asked = [each.quantized for each in config.said]
    known = [each for each in asked if each is not None]
    if not known or len(known) < len(asked):
        what = f"what {config.key} makes is not known here; it was not compared with the weights"
        yield Finding(Kind.NOTE, WHERE, what)
        return
    others: dict[str, list[str]] = {}
    for weight in quantized:
        found = describe(weight)
        told = weight.subclass.partition("/")[0] in TELLING
        if not any(found.agrees(each, told=told) for each in known):
            others.setdefault(f"{found} ({weight.subclass})", []).append(weight.key)
    for kind, keys in others.items():
        types = ", ".join(dict.fromkeys(each.type for each in config.said))
        what = f"it says {types}, and {len(keys)} are {kind}: {some(keys)}"
        yield Finding(Kind.DISAGREES, WHERE, what, "it loads and reports the wrong scheme")


def rivals(found: "Sequence[StateDict]") -> Iterator[Finding]:
    """Tell of weight sets that a load does not take."""
    first = found[0]
    if first.set.needs_a_flag and len(found) == 1:
        what = "shards of pickles are only found with use_safetensors=False"
        yield Finding(Kind.NOTE, first.set.name, what)
    for other in found[1:]:
        if _stem(other) != _stem(first):
            continue
        if _contents(other) == _contents(first):
            what = f"holds weights of the same form as {first.set.name}, which wins on load"
            yield Finding(Kind.NOTE, other.set.name, what)
        else:
            what = f"holds other weights than {first.set.name}, which wins on load"
            mend = "one of them is stale: delete what you do not mean"
            yield Finding(Kind.STALE, other.set.name, what, mend)


def _stem(found: "StateDict") -> str:
    """Transformers calls one thing `model` and `pytorch_model`."""
    return found.set.stem.removeprefix("pytorch_")


def _contents(found: "StateDict") -> list[tuple[str, str, tuple[int, ...]]]:
    return [(each.key, each.subclass or each.dtype, each.shape) for each in found.weights]
