"""`save_pretrained(variant="fp16")`: another name for the weight files, and nothing else.

The word says nothing of a dtype to diffusers: the same tensors are written under it.
"""

from conformance.axes.files import read_safetensors, read_torch
from conformance.axes.pretrained import extra, pair, recipe

VARIANT = {"variant": "fp16"}

FORMATS = tuple(
    extra(each)
    for safetensors, read in ((False, read_torch), (True, read_safetensors))
    for each in pair(
        "safetensors-fp16" if safetensors else "pickle-fp16",
        f'`save_pretrained(variant="fp16", safe_serialization={safetensors})`',
        read,
        safetensors=safetensors,
        options=VARIANT if safetensors else {"safe_serialization": False, **VARIANT},
        reading={**recipe(safetensors=safetensors), **VARIANT},
    )
)
