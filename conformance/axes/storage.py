"""Judge how a tensor subclass is stored on a machine whose kernels cannot make it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from conformance.axes.base import Quantized
from conformance.errors import UnavailableError


@contextmanager
def storage_in_place_of_quantizing(how: Quantized) -> Iterator[None]:
    """Let torchao's handler of this config build the subclass from its parts, while it lasts.

    Everything around the handler stays the library's own: which layers are visited, how the
    config is kept, how the model is loaded. Does nothing where the machine can quantize.

    Raises:
        UnavailableError: this torchao has no table of handlers.
    """
    if how.storage is None:
        yield
        return
    handlers = _handlers()
    key = type(how.quantization.config)
    original = handlers.get(key)
    handlers[key] = _stand_in(how.storage)
    try:
        yield
    finally:
        if original is None:
            del handlers[key]
        else:
            handlers[key] = original


def _handlers() -> dict[type, Any]:
    from torchao.quantization import transform_module

    try:
        return transform_module._QUANTIZE_CONFIG_HANDLER  # type: ignore[no-any-return]
    except AttributeError as error:
        raise UnavailableError("this torchao keeps no table of quantization handlers") from error


def _stand_in(build: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def handler(module: Any, config: Any, **_: Any) -> Any:
        import torch

        module.weight = torch.nn.Parameter(build(module.weight, config), requires_grad=False)
        return module

    return handler
