"""What the kernels behind a scheme need, asked of the library and never of its version."""

import importlib
from collections.abc import Callable, Sequence

from conformance.axes.base import Device, Needs
from conformance.axes.quantization import REFUSALS, Recipe, one_line, resolve

Probe = Callable[[], str | None]


def has(symbol: str, otherwise: str) -> Probe:
    """Is `module:name` there and not None, as torchao leaves a kernel it could not import?"""

    def probe() -> str | None:
        module, _, name = symbol.partition(":")
        try:
            found = getattr(importlib.import_module(module), name, None)
        except ImportError:
            found = None
        return None if found is not None else otherwise

    return probe


def operator(name: str, dispatch_key: str, otherwise: str) -> Probe:
    """Has the operator `namespace::name` a kernel for this dispatch key?"""

    def probe() -> str | None:
        importlib.import_module("torchao")
        torch = importlib.import_module("torch")
        try:
            found = torch._C._dispatch_has_kernel_for_dispatch_key(name, dispatch_key)
        except RuntimeError:
            found = False
        return None if found else otherwise

    return probe


def trial(recipes: Sequence[Recipe]) -> Probe:
    """Does `quantize_` take the config, for classes that accept what their handler refuses?"""

    def probe() -> str | None:
        torch = importlib.import_module("torch")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        linear = torch.nn.Linear(64, 64, dtype=torch.bfloat16, device=device)
        try:
            config = resolve(recipes).config
            importlib.import_module("torchao.quantization").quantize_(linear, config)
        except REFUSALS as error:
            return f"quantize_ refuses it: {one_line(error)}"
        return None

    return probe


def any_rank(static: Recipe) -> Probe:
    """Does a Linear with a static scale take inputs of any rank, as those of a model are?"""

    def probe() -> str | None:
        torch = importlib.import_module("torch")
        linear = torch.nn.Linear(32, 32, dtype=torch.bfloat16)
        importlib.import_module("torchao.quantization").quantize_(linear, static.build())
        try:
            for shape in ((4, 32), (1, 4, 32)):
                linear(torch.ones(shape, dtype=torch.bfloat16))
        except (AssertionError, RuntimeError):
            return "one static scale serves inputs of one rank only, the model has inputs of two"
        return None

    return probe


def nowhere(reason: str) -> Needs:
    """No device of this suite can do it."""
    return Needs(probe=lambda: reason)


CPU = Needs(devices=(Device.CPU,))
CUDA = Needs(devices=(Device.CUDA,))
AMPERE = Needs(devices=(Device.CUDA,), capability=(8, 0))
FLOAT8 = Needs(devices=(Device.CUDA,), capability=(8, 9))
HOPPER = Needs(devices=(Device.CUDA,), capability=(9, 0))
BLACKWELL = Needs(devices=(Device.CUDA,), capability=(10, 0))
MSLK = Needs(
    devices=(Device.CUDA,),
    capability=(9, 0),
    probe=has(
        "torchao.quantization.quantize_.workflows.int4.int4_tensor:int4_row_quantize_zp",
        "needs the package mslk (fbgemm-gpu-genai for older torchao)",
    ),
)
GEMLITE = Needs(devices=(Device.CUDA,), packages=("gemlite",))
FBGEMM = Needs(devices=(Device.CUDA,), capability=(9, 0), packages=("fbgemm_gpu",))
