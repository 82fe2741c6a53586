"""`save_pretrained(safe_serialization=False)`: files of `torch.save`, single and sharded."""

from conformance.axes.files import read_torch
from conformance.axes.pretrained import single_and_sharded

FORMATS = single_and_sharded(
    "pickle",
    "`save_pretrained(safe_serialization=False)`",
    read_torch,
    safetensors=False,
    options={"safe_serialization": False},
)
