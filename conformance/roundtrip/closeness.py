"""How close one tensor is to another."""

import math

import torch


def sqnr(reference: torch.Tensor, output: torch.Tensor) -> float:
    """Return the signal to quantization noise ratio in dB; infinite for equal tensors."""
    signal, noisy = reference.double().cpu(), output.double().cpu()
    noise = float(((signal - noisy) ** 2).sum())
    if noise == 0:
        return math.inf
    power = float((signal**2).sum())
    return 10 * math.log10(power / noise) if power and math.isfinite(noise) else -math.inf
