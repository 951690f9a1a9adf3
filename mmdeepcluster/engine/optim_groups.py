"""Few groups of parameters instead of one for each."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdeepcluster.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(name="DefaultOptimWrapperConstructor")
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """Replaces MMEngine's constructor of the same name.

    With ``paramwise_cfg`` that of MMEngine 0.10.7 makes one group for each parameter. An optimizer
    and the schedules loop over groups in Python, and a GPU optimizer works on the parameters of a
    group together: for ResNet-50 161 small updates instead of two. Here parameters with equal
    settings share a group. The arithmetic is the same.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Adds the parameters of a module as MMEngine's does, then merges them at the root."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix == "":
            params[:] = merged(params)


def merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups of which no two have equal settings, in the order of their first parameters."""
    found: list[dict[str, Any]] = []
    for group in groups:
        settings = {key: value for key, value in group.items() if key != "params"}
        for other in found:
            if {key: value for key, value in other.items() if key != "params"} == settings:
                other["params"] += group["params"]
                break
        else:
            found.append({**settings, "params": list(group["params"])})
    return found
