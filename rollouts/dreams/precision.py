"""Arithmetic: bfloat16 matrix products where the machine has instructions for them, float32 elsewhere.

On a CPU with AVX512-BF16 or AMX they run four times as fast as in float32; without, they are emulated and slower. It is
the machine's kind that decides, never a timing, so that a run repeated on one machine gives the same weights.
"""

from __future__ import annotations

import torch


def native_bfloat16(device: torch.device | str) -> bool:
    """Whether `device` multiplies bfloat16 matrices in hardware."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def autocast(device: torch.device | str) -> torch.autocast:
    """Context manager: the fastest arithmetic for networks on `device`. Weights, sums and losses stay float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=native_bfloat16(device))
