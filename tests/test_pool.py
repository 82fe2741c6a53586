"""The run of random numbers of which every parameter of a large model is a window."""

import math
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conformance.axes import models, registry
from conformance.axes.base import Size
from conformance.roundtrip import pool
from conformance.roundtrip.budget import shapes
from conformance.roundtrip.ladder import HarnessError
from conformance.roundtrip.pool import Pool

FULL = [each for each in registry.subjects().values() if each.size is Size.FULL]


@given(
    st.integers(0, 2**32), st.text(min_size=1), st.lists(st.integers(1, 9), min_size=1, max_size=3)
)
def test_a_parameter_is_a_window_of_the_run_and_goes_on_at_its_start(
    seed: int, name: str, sizes: list[int]
) -> None:
    shape, short = tuple(sizes), Pool(seed, length=11)
    places = (short.place(name) + torch.arange(prod(shape))) % 11
    factor, middle = models.spread(name, shape)
    wanted = short._run[places] * factor + middle
    assert torch.equal(short.draw(name, shape), wanted.reshape(shape))


def test_parameters_are_equal_by_seed_and_name_only() -> None:
    shape = (64, 32)
    one = Pool(0).draw("a.weight", shape)
    assert torch.equal(one, Pool(0).draw("a.weight", shape))
    assert not torch.equal(one, Pool(0).draw("b.weight", shape))
    assert not torch.equal(one, Pool(1).draw("a.weight", shape))


def test_no_two_rows_of_a_layer_are_equal() -> None:
    # Larger than the run, so that it goes around.
    rows = Pool(0, length=4093).draw("a.weight", (600, 32))
    assert len(torch.unique(rows, dim=0)) == 600


def test_a_layer_is_spread_as_if_it_were_drawn_by_itself() -> None:
    drawn = Pool(0).draw("a.weight", (256, 1024)).double()
    assert float(drawn.std()) == pytest.approx(1024**-0.5, rel=0.01)
    assert float(drawn.mean()) == pytest.approx(0, abs=1e-3)


def test_the_length_of_the_run_is_a_prime() -> None:
    assert all(pool.LENGTH % each for each in range(2, math.isqrt(pool.LENGTH) + 1))


@pytest.mark.parametrize("subject", FULL, ids=lambda each: each.name)
def test_no_two_parameters_of_a_full_model_begin_alike(subject: Any) -> None:
    found = shapes(subject)
    assert found.elements == subject.parameters
    several = Pool(0)
    several.share(found.linears)
    several.all_apart({**found.linears, **found.others})


def test_two_parameters_that_begin_alike_are_an_error() -> None:
    with pytest.raises(HarnessError, match="begin alike"):
        Pool(0, length=2).all_apart({"a": (1,), "b": (1,), "c": (1,)})


def test_layers_of_one_shape_have_the_same_rows_and_each_begins_with_another() -> None:
    several, shape = Pool(0, length=4093), (600, 32)
    several.share({"a": shape, "other": (16, 32), "b": shape, "c": shape})
    first, second, third = (several.draw(name, shape) for name in "abc")
    assert torch.equal(second, torch.roll(first, -200, 0))
    assert torch.equal(third, torch.roll(first, -400, 0))
    assert not (first == second).all(dim=1).any()
    assert not torch.equal(several.draw("other", (16, 32)), first[:16])


def test_more_layers_than_rows_would_have_to_be_equal() -> None:
    with pytest.raises(HarnessError, match=r"^3 layers of shape \(2, 8\) would have to be equal$"):
        Pool(0).share(dict.fromkeys("abc", (2, 8)))


def test_shared_layers_begin_apart_from_other_parameters() -> None:
    several = Pool(0, length=2)
    several.share({"a": (4, 4), "b": (4, 4)})
    several.all_apart({"a": (4, 4), "b": (4, 4)})
    with pytest.raises(HarnessError, match="begin alike"):
        several.all_apart({"a": (4, 4), "b": (4, 4), "c": (1,), "d": (1,)})
