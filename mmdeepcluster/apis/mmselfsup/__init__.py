"""Configs of mmselfsup and OpenSelfSup, for ODC and DeepCluster, as configs of ours.

Read are versions 0.x (mmcv's runner) and 1.x (MMEngine's). Nothing of them is imported: the file is
executed as the config file that it is, with its ``_base_`` files, and mapped key by key. What no
rule maps is reported, never dropped in silence.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmdeepcluster.apis.mmselfsup.data import convert_data
from mmdeepcluster.apis.mmselfsup.model import convert_model
from mmdeepcluster.apis.mmselfsup.source import Source
from mmdeepcluster.apis.mmselfsup.training import convert_training
from mmdeepcluster.apis.model_zoo import model_config
from mmdeepcluster.engine import ConfigError, load_config
from mmdeepcluster.engine.config_schema import check_config

# What the released code does where papers differ is in these.
_STARTS = {"ODC": "odc_r50_released", "DeepCluster": "deepcluster_r50"}


class Conversion(NamedTuple):
    """A config of ours, and what of the other one is not in it.

    Attributes:
        cfg: The config, whole, without bases.
        left: Each key without counterpart, with its value or the reason.
        variables: Names in the file that are no keys but used by others.
        start: Name of the shipped config that says what the file does not.
    """

    cfg: Config
    left: dict[str, str]
    variables: list[str]
    start: str

    def text(self, origin: str) -> str:
        """The config as a file, which names in its head what has no counterpart."""
        head = [f"Converted from {origin}; what it does not say is as in {self.start}."]
        if self.left:
            head += ["", "Without counterpart:"]
            head += [f"    {key}: {reason}" for key, reason in self.left.items()]
        text = self.cfg.pretty_text
        return '"""' + "\n".join(head).replace("\\", "\\\\") + '\n"""\n\n' + text


def convert_mmselfsup(path: str | Path) -> Conversion:
    """Maps a config of ODC or DeepCluster of mmselfsup or OpenSelfSup to one of ours.

    Args:
        path: Config file of mmselfsup 0.x or 1.x, or OpenSelfSup; its bases must be there, too.

    Raises:
        ConfigError: If the file cannot be read, is of another method, or has a component without
            counterpart.
    """
    source = Source.from_file(path)
    method = source.get("model.type")
    if method not in _STARTS:
        raise ConfigError(
            f"{path}: model.type is {method!r}, only {' and '.join(_STARTS)} can be converted"
        )
    cfg = load_config(model_config(_STARTS[method]))
    try:
        convert_model(source, cfg)
        convert_data(source, cfg)
        convert_training(source, cfg)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    left = {key: f"{value!r}" for key, value in source.unread()}
    left |= {key: f"{source.get(key)!r}, {reason}" for key, reason in source.left.items()}
    check_config(cfg)
    return Conversion(cfg, dict(sorted(left.items())), source.variables, _STARTS[method])


__all__ = ["Conversion", "convert_mmselfsup"]
