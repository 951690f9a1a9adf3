"""Weights of other trainings and other projects, to start from (R51).

Where :mod:`mmdeepcluster.engine.checkpoint_io` continues a training of ours, this takes the network
alone out of any file whose layout can be recognised, and never a part of it without being told to.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmdeepcluster.engine.checkpoint_io import read_checkpoint
from mmdeepcluster.engine.errors import ConfigError
from mmdeepcluster.models.weights import WeightsMatch, explain, match_weights

SAFETENSORS = ".safetensors"
# Mark in the metadata of a safetensors file of ours.
METHOD = "mmdeepcluster.method"


def read_weights(path: str | Path) -> dict[str, Any]:
    """Reads a file of weights onto the CPU without executing anything in it.

    Args:
        path: A file of ``torch.save``, or ``*.safetensors``.

    Raises:
        ConfigError: If it is missing, damaged, holds other objects than tensors, numbers and
            strings, or needs safetensors, which is not installed.
    """
    path = Path(path)
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    try:
        # Command line options, which some projects save beside their weights, are plain values.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return read_checkpoint(path)
    except ConfigError as error:
        if "holds objects other than" not in str(error):
            raise
        raise ConfigError(
            f"{error}; of such a file keep the weights, as model zoos publish them: "
            "torch.save({'state_dict': ...}) in a program that you trust it with"
        ) from error


def _read_safetensors(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"weights {path} do not exist")
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ConfigError(
            f"{path} needs safetensors, which is not installed: pip install safetensors"
        ) from error
    try:
        with safe_open(path, framework="pt") as file:
            content: dict[str, Any] = {"state_dict": {k: file.get_tensor(k) for k in file.keys()}}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ConfigError(f"{path} cannot be read: it is damaged ({error})") from error
    if METHOD in metadata:
        content["mmdeepcluster"] = {"method": metadata[METHOD]}
    return content


def revised(content: Mapping[str, Any], pattern: str, replacement: str) -> dict[str, Any]:
    """The same with a regular expression replaced in the names of tensors, at any depth."""
    return {
        key if isinstance(value, Mapping) else re.sub(pattern, replacement, str(key)): (
            revised(value, pattern, replacement) if isinstance(value, Mapping) else value
        )
        for key, value in content.items()
    }


def load_weights(network: nn.Module, path: str | Path, strict: bool = True) -> WeightsMatch:
    """Gives a network the backbone of a file, and its neck where it fits.

    Understood are files of this package, torchvision, timm, OpenMMLab (OpenSelfSup, mmselfsup,
    mmpretrain), MoCo v1 to v3, SwAV and DeepCluster-v2, DINO, VISSL, SimSiam, DeepCluster and
    DeeperCluster; a backbone with the same names and shapes is found under any other prefix, too.

    Args:
        network: A network with ``backbone`` and perhaps ``neck``.
        path: File of ``torch.save``, or ``*.safetensors``.
        strict: Refuses a file that lacks weights of the backbone or has more of them. Defaults to
            True. False loads what fits.

    Returns:
        What was matched, missing and left out.

    Raises:
        ConfigError: If the file cannot be read, or does not fit.
    """
    return take_weights(network, read_weights(path), str(path), strict, "strict=False")


def take_weights(
    network: nn.Module,
    content: Mapping[str, Any],
    source: str,
    strict: bool,
    way_out: str | None = None,
) -> WeightsMatch:
    """As :func:`load_weights`, of a file that was read.

    Args:
        network: As there.
        content: What is in the file.
        source: Its name, for messages.
        strict: As there.
        way_out: Setting that takes what fits, for messages; None where there is no such.
    """
    try:
        match = match_weights(content, network)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error
    if strict and not match.complete:
        reason = explain(match, network)
        raise ConfigError(
            f"{source}: layout {match.layout}, {len(match.matched)} of {match.backbone_size} "
            f"weights of the backbone fit; {'; '.join(match.problems())}"
            + (f". {reason[0].upper()}{reason[1:]}" if reason else "")
            + (f". To start from the part that fits set {way_out}" if way_out else "")
        )
    network.load_state_dict(match.weights, strict=False)
    return match
