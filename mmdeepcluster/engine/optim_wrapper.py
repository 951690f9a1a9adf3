"""Optimizer steps that wait for no device, and mixed precision that also works on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmdeepcluster.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module(name="OptimWrapper")
class DeferredNormOptimWrapper(OptimWrapper):
    """Replaces MMEngine's wrapper of the same name.

    With ``clip_grad`` that of MMEngine 0.10.7 reads the norm of the gradients in each step, for
    which a GPU has to be waited for. Here the norm stays on the device until it is logged.

    Args:
        **kwargs: Options of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._grad_norm: Tensor | None = None

    def _clip_grad(self) -> None:
        groups = self.optimizer.param_groups
        params = [p for group in groups for p in group["params"] if p.grad is not None]
        if params:
            self._grad_norm = self.clip_func(params, **self.clip_grad_kwargs)

    def take_scalars(self) -> dict[str, Tensor]:
        """Norm of the gradients of the last step, 0-d on the device; each is given once."""
        if self._grad_norm is None:
            return {}
        norm, self._grad_norm = self._grad_norm.detach(), None
        return {self.grad_name: norm}


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(DeferredNormOptimWrapper):
    """Runs the forward pass in bfloat16 autocast, on CPUs and GPUs, without loss scaling.

    MMEngine's ``AmpOptimWrapper`` asserts that there is an accelerator. bfloat16 has the range of
    float32, so gradients need no scaling.

    Args:
        **kwargs: Options of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast around the forward pass and the loss."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, dtype=torch.bfloat16):
            yield


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, flag, lambda: False)()) for flag in flags)
