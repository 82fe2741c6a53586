"""What is seen of a live model is everything, and the same for the same content."""

import enum
import json
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from conformance.roundtrip.facts import ModelFacts
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.observe import (
    digest,
    leaves_of,
    named_tensors,
    observe,
    observe_tensors,
    plain,
    tensor_facts,
)


class Colour(enum.Enum):
    RED = 1


@dataclass
class Settings:
    size: Any = 1


class OtherSettings(Settings):
    """Equal fields, another class."""


Pair = namedtuple("Pair", "left right")


class Wrapper(torch.Tensor):  # type: ignore[misc]
    """The smallest tensor subclass: inner tensors by name, and one attribute."""

    inner: dict[str, torch.Tensor]
    note: Any

    @staticmethod
    def __new__(cls, inner: dict[str, torch.Tensor], note: Any = None) -> "Wrapper":
        outer = next(iter(inner.values()))
        made: Wrapper = torch.Tensor._make_wrapper_subclass(cls, outer.shape, dtype=outer.dtype)
        made.inner, made.note = inner, note
        return made

    @classmethod
    def __torch_dispatch__(cls, *_: Any) -> Any:
        raise NotImplementedError("nothing is computed with it")

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["inner"][name]

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return list(self.inner), {"note": self.note}


class Outer(Wrapper):
    """Another name."""


class Opaque(torch.Tensor):  # type: ignore[misc]
    """A subclass that cannot be taken apart."""


def seen(**tensors: torch.Tensor) -> ModelFacts:
    return observe_tensors({name: ("buffer", tensor) for name, tensor in tensors.items()})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), [1, 2]),
        ((1, 2), torch.Size([1, 2])),
        ([1, 2], torch.Size([1, 2])),
        ((1, 2), Pair(1, 2)),
        (None, "None"),
        (1, "1"),
        (0.5, "0.5"),
        (torch.int8, "torch.int8"),
        (torch.int8, torch.uint8),
        (Colour.RED, "RED"),
        (Colour.RED, "Colour.RED"),
        (Settings(), OtherSettings()),
        (Settings((1,)), Settings([1])),
        ({"a": None}, {}),
        (torch.zeros(2), torch.ones(2)),
    ],
)
def test_plain_keeps_a_difference(one: Any, other: Any) -> None:
    assert plain(one) != plain(other)
    assert json.loads(json.dumps(plain(one))) == plain(one)


@pytest.mark.parametrize(
    "value",
    [None, True, 3, "x", [1], {"a": [1]}, Settings(), Colour.RED, torch.ones(2), torch.int8],
)
def test_plain_is_equal_for_equal_values(value: Any) -> None:
    assert plain(value) == plain(value)


def test_plain_holds_no_address() -> None:
    first, second = object(), object()
    assert repr(first) != repr(second)
    assert plain([first]) == plain([second])


def test_a_digest_has_128_bits() -> None:
    assert len(bytes.fromhex(digest(torch.ones(3)))) == 16


def test_a_digest_is_of_the_content_and_not_of_the_strides() -> None:
    rows = torch.arange(12).reshape(3, 4)
    columns = rows.t().contiguous().t()
    assert rows.stride() != columns.stride()
    assert digest(rows) == digest(columns)
    assert digest(rows) != digest(rows.t())


@pytest.mark.parametrize("other", [-0.0, 1e-45])
def test_a_digest_sees_every_bit(other: float) -> None:
    assert digest(torch.tensor([0.0])) != digest(torch.tensor([other]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.int8])
def test_a_digest_exists_for_every_dtype_and_for_scalars(dtype: torch.dtype) -> None:
    assert digest(torch.ones(2).to(dtype)) != digest(torch.zeros(2).to(dtype))
    assert digest(torch.ones(()).to(dtype))


def test_there_is_no_digest_on_meta() -> None:
    assert digest(torch.ones(3, device="meta")) == ""


def test_views_of_one_memory_are_aliases() -> None:
    base = torch.zeros(10)
    assert seen(a=base[:6], b=base[5:], c=torch.zeros(3)).aliases == (("a/data", "b/data"),)


def test_neighbours_in_one_memory_are_no_aliases() -> None:
    base = torch.zeros(10)
    assert seen(a=base[:5], b=base[5:]).aliases == ()


def test_an_alias_within_a_longer_span_is_found() -> None:
    base = torch.zeros(10)
    assert seen(a=base, b=base[1:3], c=base[7:]).aliases == (("a/data", "b/data", "c/data"),)


def test_inner_tensors_are_aliases_too() -> None:
    shared = torch.zeros(2)
    left, right = Wrapper({"q": torch.ones(2), "zero": shared}), Wrapper({"zero": shared})
    assert seen(left=left, right=right).aliases == (("left/zero", "right/zero"),)


def test_a_plain_tensor_has_one_inner_tensor_and_no_attributes() -> None:
    facts = tensor_facts("parameter", torch.nn.Parameter(torch.ones(2, 3)))
    assert (facts.subclass, facts.attributes, list(facts.inner)) == ("Parameter", {}, ["data"])
    assert not facts.quantized
    assert facts.requires_grad


def test_a_nested_subclass_is_taken_apart_at_every_level() -> None:
    nested = Outer({"left": Wrapper({"q": torch.ones(2)}, (1,)), "right": torch.zeros(3)}, [2])
    facts = tensor_facts("buffer", nested)
    assert facts.subclass == "Outer/Wrapper"
    assert list(facts.inner) == ["left.q", "right"]
    assert facts.attributes == {"note": [2], "left.note": {"tuple": [1]}}
    assert facts.quantized


def test_a_subclass_that_cannot_be_taken_apart_is_an_error() -> None:
    with pytest.raises(HarnessError, match="Opaque has no __tensor_flatten__"):
        list(leaves_of(torch.ones(2).as_subclass(Opaque)))


def test_a_non_persistent_buffer_is_seen_and_not_saved() -> None:
    module = torch.nn.Linear(2, 2)
    module.register_buffer("table", torch.ones(2), persistent=False)
    module.register_buffer("kept", torch.ones(2))
    kinds = {key: kind for key, (kind, _) in named_tensors(module).items()}
    assert kinds["table"] == "non-persistent buffer"
    assert (kinds["kept"], kinds["weight"]) == ("buffer", "parameter")
    assert observe(module).saved.keys() == {"weight", "bias", "kept"}


def test_facts_survive_json() -> None:
    nested = Outer({"left": Wrapper({"q": torch.ones(2)}, (1,)), "right": torch.zeros(3)}, [2])
    facts = seen(nested=nested, plain=torch.ones(2, 3).t(), gone=torch.ones(1, device="meta"))
    assert ModelFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
