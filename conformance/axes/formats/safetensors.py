"""`save_pretrained` with its default, safetensors: single and sharded.

It is loaded as safetensors only: a stray pickle must not stand in.
"""

from conformance.axes.files import read_safetensors
from conformance.axes.pretrained import single_and_sharded

FORMATS = single_and_sharded(
    "safetensors", "`save_pretrained()`", read_safetensors, safetensors=True, options={}
)
