"""How close one tensor is to another."""

import math

import torch


def cosine(reference: torch.Tensor, output: torch.Tensor) -> float:
    """Return the cosine of the angle between two tensors; 0 where one is zero or not finite."""
    wanted, got = reference.double().cpu().flatten(), output.double().cpu().flatten()
    found = float(torch.nn.functional.cosine_similarity(wanted, got, dim=0, eps=0.0))
    return found if math.isfinite(found) else 0.0


def sqnr(reference: torch.Tensor, output: torch.Tensor) -> float:
    """Return the signal to quantization noise ratio in dB; infinite for equal tensors."""
    signal, noisy = reference.double().cpu(), output.double().cpu()
    noise = float(((signal - noisy) ** 2).sum())
    if noise == 0:
        return math.inf
    power = float((signal**2).sum())
    return 10 * math.log10(power / noise) if power and math.isfinite(noise) else -math.inf
