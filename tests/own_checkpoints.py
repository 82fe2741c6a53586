"""Tiny checkpoints as somebody would have them, and damage to them."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from conformance.axes import models, registry
from conformance.judging.judge import judge
from conformance.judging.verdicts import Verdict
from conformance.roundtrip.checkpoint import Asked, checkpoint_at, manifest, record_beside
from conformance.roundtrip.outcome import Outcome
from conformance.roundtrip.own import Answer, record, verify
from conformance.roundtrip.record import Record

SHARD = 6000
"""Bytes: less than the largest weight, so that there are several shards."""
Damage = Callable[[Path], object]


@cache
def quantized(subject: str) -> Any:
    """Return a subject quantized to int8 by `quantize_`."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = models.build(registry.subjects()[subject])
    quantize_(model, Int8WeightOnlyConfig())
    return model


def pickled(subject: str, directory: Path) -> Path:
    quantized(subject).save_pretrained(directory, safe_serialization=False)
    return directory


def in_shards(subject: str, directory: Path) -> Path:
    model = quantized(subject)
    model.save_pretrained(directory, safe_serialization=False, max_shard_size=SHARD)
    return directory


def in_safetensors(subject: str, directory: Path) -> Path:
    """Quantize by `TorchAoConfig`, the only way to a safetensors file of diffusers."""
    import torch
    from diffusers import TorchAoConfig
    from torchao.quantization import Int8WeightOnlyConfig

    plain = directory.with_name("plain")
    base = models.build(registry.subjects()[subject])
    base.save_pretrained(plain)
    config = TorchAoConfig(Int8WeightOnlyConfig())
    model = type(base).from_pretrained(
        plain, quantization_config=config, torch_dtype=torch.bfloat16
    )
    model.save_pretrained(directory)
    return directory


def state_dict(subject: str, directory: Path) -> Path:
    import torch

    directory.mkdir()
    path = directory / "weights.pt"
    torch.save(quantized(subject).state_dict(), path)
    return path


def unquantized(directory: Path) -> Path:
    """Save a tiny model that is no subject of the suite, in float32."""
    import torch
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    model = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, sample_size=8)
    model.save_pretrained(directory)
    return directory


def image(config: Any, seed: int) -> dict[str, Any]:
    """Return inputs of `unquantized`, as somebody's own function makes them."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return {"sample": torch.randn(1, config["in_channels"], 8, 8, generator=generator)}


def asked(path: Path, **options: Any) -> Asked:
    return Asked(path, record_beside(path), **options)


def recorded(path: Path, **options: Any) -> Record:
    answer = record(asked(path, **options))
    assert answer.outcome.failure is None, answer.outcome.failure
    assert answer.outcome.no_result is None, answer.outcome.no_result
    return Record.read(record_beside(path))


def verified(path: Path, **options: Any) -> Answer:
    return verify(asked(path, **options))


def hide(path: Path) -> None:
    """Make a record name the files as they are now, as if only the reading had changed."""
    place = record_beside(path)
    known = Record.read(place)
    assert known.source
    files = manifest(checkpoint_at(path).files)
    replace(known, source=replace(known.source, files=files)).write(place)


def edit_config(directory: Path, **values: Any) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(copy.deepcopy(config) | values), encoding="utf-8")


def verdict(answer: Answer) -> Verdict | None:
    return judge(answer.outcome, ()).verdict


def checks(outcome: Outcome) -> set[str]:
    return {each.check for each in outcome.findings}


def plain(directory: Path) -> Path:
    """Write a plain state dict: quick to record, and it needs no model."""
    import torch
    from safetensors.torch import save_file

    path = directory / "mine.safetensors"
    save_file({"a": torch.arange(8), "b": torch.ones(2)}, path)
    return path
