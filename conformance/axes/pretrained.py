"""How the formats get a model back: `from_pretrained`, or an assigned state dict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conformance.axes.base import Device


def load_pretrained(
    model_class: Any, directory: Path, device: Device, *, use_safetensors: bool
) -> Any:
    """Load in bfloat16 onto `device`, as the published recipe does."""
    import torch

    return model_class.from_pretrained(
        directory,
        torch_dtype=torch.bfloat16,
        use_safetensors=use_safetensors,
        device_map=None if device is Device.CPU else str(device),
    )


def assign_state_dict(model_class: Any, config: Mapping[str, Any], state: Mapping[str, Any]) -> Any:
    """Build the model without weights and give it `state` with `assign=True`.

    Only parameters go to the meta device: a buffer that no state dict holds, like CogVideoX's
    position embedding, must be computed, or nothing ever fills it.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = model_class.from_config(dict(config))
    model.load_state_dict(state, assign=True)
    return model.eval()
