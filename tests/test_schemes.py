"""The schemes axis: complete for the installed torchao, and true about what a scheme gives."""

import ast
import importlib
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest

from conformance.axes import base, payload, registry
from conformance.axes.base import Device, Needs, PayloadLimit, Scheme
from conformance.axes.needs import HOPPER, trial
from conformance.axes.not_schemes import NOT_SCHEMES
from conformance.axes.quantization import Quantization, Recipe
from conformance.errors import UnavailableError

SCHEMES = tuple(registry.schemes().values())
SHAPES = ((160, 256), (256, 256), (96, 128), (48, 64), (32, 32))
SMALLEST = (32, 32)
COARSE = tuple(scheme for scheme in SCHEMES if not scheme.covers(SMALLEST))
TIGHT = 1.15
EVERY_RELEASE = ("int8wo", "int8dq", "float8wo", "float8dq-row", "int4wo-v1", "uintx4", "nf4")


def class_definitions(sources: Mapping[str, str]) -> Iterator[tuple[str, ast.ClassDef]]:
    for module, source in sources.items():
        with warnings.catch_warnings():
            # Parsing warns of escapes in other people's sources.
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        yield from ((module, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def config_classes(sources: Mapping[str, str]) -> set[str]:
    """Find the quantization config classes in module sources, as `module:name`, by their bases."""
    bases: dict[str, set[str]] = {}
    places: dict[str, set[str]] = {}
    for module, node in class_definitions(sources):
        parents = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        bases.setdefault(node.name, set()).update(parents)
        places.setdefault(node.name, set()).add(f"{module}:{node.name}")
    configs = {"AOBaseConfig"}
    while found := {name for name in bases if bases[name] & configs} - configs:
        configs |= found
    return {place for name in configs & places.keys() for place in places[name]}


def torchao_sources() -> dict[str, str]:
    root = Path(str(distribution("torchao").locate_file("torchao")))
    return {
        ".".join(path.relative_to(root.parent).with_suffix("").parts): path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
    }


def names(key: str, config: str) -> bool:
    """Does a symbol or package, as schemes and the reviewed list spell them, name this class?"""
    module, _, name = config.partition(":")
    package, _, wanted = key.partition(":")
    return wanted in ("", name) and (module == package or module.startswith(f"{package}."))


def unnamed(configs: Iterable[str], keys: Iterable[str]) -> set[str]:
    listed = tuple(keys)
    return {config for config in configs if not any(names(key, config) for key in listed)}


def symbols() -> set[str]:
    return {recipe.symbol for scheme in SCHEMES for recipe in scheme.recipes}


def installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


needs_torchao = pytest.mark.skipif(not installed("torchao"), reason="no torchao")


@needs_torchao
def test_every_config_class_of_torchao_is_named() -> None:
    configs = config_classes(torchao_sources())
    assert len(configs) > 10
    assert not unnamed(configs, symbols() | NOT_SCHEMES.keys())


@needs_torchao
def test_every_exported_config_class_is_named() -> None:
    quantization = importlib.import_module("torchao.quantization")
    base = importlib.import_module("torchao.core.config").AOBaseConfig
    values = (getattr(quantization, name) for name in quantization.__all__)
    exported = {
        f"{value.__module__}:{value.__name__}"
        for value in values
        if isinstance(value, type) and issubclass(value, base)
    }
    assert exported
    assert not unnamed(exported, symbols() | NOT_SCHEMES.keys())


@pytest.mark.parametrize("base", ["AOBaseConfig", "core.config.AOBaseConfig", "Middle"])
def test_an_invented_config_class_is_noticed(base: str) -> None:
    sources = {
        "torchao.prototype.new": f"class Int3WeightOnlyConfig({base}):\n    bits = 3\n",
        "torchao.prototype.mid": "class Middle(AOBaseConfig):\n    pass\n",
    }
    found = unnamed(config_classes(sources), symbols() | NOT_SCHEMES.keys())
    assert "torchao.prototype.new:Int3WeightOnlyConfig" in found


def test_a_known_name_in_an_unknown_place_is_noticed() -> None:
    sources = {"torchao.prototype.new": "class Int8WeightOnlyConfig(AOBaseConfig):\n    pass\n"}
    assert unnamed(config_classes(sources), symbols() | NOT_SCHEMES.keys())


def test_what_is_not_a_scheme_is_not_also_one() -> None:
    assert not {key for key in NOT_SCHEMES if any(names(key, symbol) for symbol in symbols())}


@pytest.mark.parametrize(("key", "reason"), NOT_SCHEMES.items())
def test_what_is_not_a_scheme_has_a_reason(key: str, reason: str) -> None:
    assert key.startswith("torchao.")
    assert len(reason) > 10


def test_a_name_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'int8wo' is declared twice"):
        registry.unique([*SCHEMES, registry.schemes()["int8wo"]])


def test_a_name_that_is_no_segment_of_an_id_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be a segment"):
        registry.unique([replace(SCHEMES[0], name="int8.wo")])


def test_declaring_the_axis_imports_neither_torch_nor_torchao() -> None:
    code = (
        "import sys; sys.modules['torch'] = sys.modules['torchao'] = None\n"
        "from conformance.axes import registry; print(len(registry.schemes()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(SCHEMES)


@pytest.mark.parametrize("name", EVERY_RELEASE)
def test_schemes_of_old_releases_know_their_callables(name: str) -> None:
    recipes = registry.schemes()[name].recipes
    assert any(recipe.symbol.rpartition(":")[2].islower() for recipe in recipes)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_scheme_is_complete(scheme: Scheme) -> None:
    assert scheme.recipes
    assert scheme.title
    assert 0 < scheme.reduction < 1.1
    assert scheme.sqnr is None or 0 < scheme.sqnr < 60
    assert all(recipe.tensors for recipe in scheme.recipes)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((8, 0), "needs CUDA compute capability 9.0, this GPU has 8.0"),
        ((9, 0), None),
        ((10, 0), None),
    ],
)
def test_a_gpu_that_is_too_old_is_told_with_what_it_has(
    there: tuple[int, int], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_capability", lambda: there)
    assert HOPPER.missing(Device.CUDA) == said
    assert HOPPER.missing(Device.CPU) == "needs CUDA"


def test_resolving_takes_the_first_recipe_that_is_accepted() -> None:
    recipes = (
        Recipe("nowhere:Config", {0: ("A",)}),
        Recipe("builtins:int", {0: ("B",)}, arguments=lambda: {"wrong": 1}),
        Recipe("types:SimpleNamespace", {2: ("C",)}, arguments=lambda: {"version": 1}),
        Recipe("types:SimpleNamespace", {2: ("D",)}, arguments=lambda: {"version": 2}),
        Recipe("types:SimpleNamespace", {0: ("E",)}),
    )
    assert replace(SCHEMES[0], recipes=recipes).resolve().tensors == ("D",)


def test_resolving_gives_every_reason_in_one_line() -> None:
    recipes = (
        Recipe("nowhere:Config", {0: ("A",)}),
        Recipe("builtins:int", {0: ("B",)}, arguments=lambda: {"wrong": 1}),
    )
    with pytest.raises(UnavailableError, match=r"Config is not in this torchao; TypeError: .*"):
        replace(SCHEMES[0], recipes=recipes).resolve()


@needs_torchao
def test_a_trial_quantizes_with_the_recipe_that_is_accepted() -> None:
    (accepted, *_) = registry.schemes()["int8wo"].recipes
    refused = replace(accepted, arguments=lambda: {"no_such_argument": 1})
    assert trial((refused, accepted))() is None
    config = Recipe("types:SimpleNamespace", {0: ("A",)})
    assert str(trial((config,))()).startswith("quantize_ refuses it: ")


def test_settings_are_set_on_the_config() -> None:
    recipe = Recipe("types:SimpleNamespace", {0: ("A",)}, settings={"block_size": 32})
    assert recipe.build().block_size == 32  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("limit", "bytes_"),
    [
        (payload.tensorwise(8, 4), 160 * 96 + 4),
        (payload.rowwise(4, 2), 160 * 48 + 160 * 2),
        (payload.grouped(4, 32, 32), 160 * 48 + 160 * 3 * 4),
        (payload.grouped(4, 64, 32, row_bytes=1, extra=5), 160 * 48 + 160 * 2 * 4 + 160 + 5),
        (payload.swizzled(8, 32), 160 * 96 + 256 * 4),
        (payload.swizzled(4, 16, extra=4), 160 * 48 + 256 * 8 + 4),
        (payload.padded(payload.tensorwise(4, 0), 8, 1024), 160 * 512),
    ],
)
def test_a_limit_counts_bytes(limit: PayloadLimit, bytes_: int) -> None:
    assert limit((160, 96)) == bytes_


def inner_bytes(tensor: Any) -> int:
    """Sum the bytes of the plain tensors inside a subclass."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return int(tensor.numel() * tensor.element_size())
    inner, _ = tensor.__tensor_flatten__()
    return sum(inner_bytes(getattr(tensor, name)) for name in inner)


def quantized_weight(scheme: Scheme, config: Any, shape: tuple[int, int]) -> Any:
    """Quantize a Linear of this weight shape, or build the subclass where no kernel can."""
    torch = importlib.import_module("torch")
    linear = torch.nn.Linear(shape[1], shape[0], dtype=torch.bfloat16)
    if scheme.quantizing.missing(Device.CPU):
        assert scheme.storage
        return scheme.storage(linear.weight, config)
    model = torch.nn.Sequential(linear)
    options = {"filter_fn": None} if scheme.whole_model else {}
    importlib.import_module("torchao.quantization").quantize_(model, config, **options)
    return model[0].weight


def why_not(scheme: Scheme) -> str:
    """Say why a scheme is not reachable, in one line."""
    try:
        scheme.resolve()
    except UnavailableError as error:
        reason: str | None = str(error)
    else:
        reason = scheme.quantizing.missing(Device.CPU)
    assert reason
    assert "\n" not in reason
    return reason


def reachable(scheme: Scheme) -> Quantization | None:
    """Resolve a scheme that this CPU can at least store."""
    if scheme.quantizing.missing(Device.CPU) and scheme.storage is None:
        return None
    try:
        return scheme.resolve()
    except UnavailableError:
        return None


@needs_torchao
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_scheme_gives_the_subclass_within_the_bytes_it_promises(scheme: Scheme) -> None:
    quantization = reachable(scheme)
    if quantization is None:
        pytest.skip(why_not(scheme))
    for shape in filter(scheme.covers, SHAPES):
        weight = quantized_weight(scheme, quantization.config, shape)
        assert type(weight).__name__ in quantization.tensors
        assert tuple(weight.shape) == shape
        assert inner_bytes(weight) <= scheme.payload(shape)
        if shape == SHAPES[0]:
            assert scheme.payload(shape) <= TIGHT * inner_bytes(weight)


@needs_torchao
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", COARSE, ids=lambda scheme: scheme.name)
def test_a_scheme_leaves_layers_that_it_cannot_divide(scheme: Scheme) -> None:
    quantization = reachable(scheme)
    if quantization is None:
        pytest.skip(why_not(scheme))
    weight = quantized_weight(scheme, quantization.config, SMALLEST)
    assert type(weight).__name__ not in quantization.tensors


def test_needs_say_what_is_missing() -> None:
    assert Needs().missing(Device.CPU) is None
    assert Needs(devices=(Device.CUDA,)).missing(Device.CPU) == "needs CUDA"
    assert Needs(packages=("no_such_package",)).missing(Device.CPU)
    assert Needs(probe=lambda: "no kernel").missing(Device.CPU) == "no kernel"
