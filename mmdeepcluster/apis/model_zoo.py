"""Shipped configs by name, as networks."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config

import mmdeepcluster
from mmdeepcluster.engine import (
    ConfigError,
    TrainedNetwork,
    build_network,
    load_trained,
    load_weights,
    read_weights,
)
from mmdeepcluster.registry import SCOPE

INDEX = "model-index.yml"
# Where OpenMMLab packages keep configs and tools once they are installed.
_INSTALLED = ".mim"


@dataclass(frozen=True)
class ModelEntry:
    """An entry of a ``metafile.yml``.

    Attributes:
        name: Name of the model.
        collection: Name of its method.
        config: Its config file.
        metadata: What else the file says of it.
    """

    name: str
    collection: str
    config: Path
    metadata: dict[str, Any]


def zoo_root() -> Path:
    """Folder of ``model-index.yml`` and ``configs``: of the installed package or of a checkout.

    Raises:
        ConfigError: If the package was installed without them.
    """
    package = Path(mmdeepcluster.__file__).resolve().parent
    for folder in (package / _INSTALLED, package.parent):
        if (folder / INDEX).is_file():
            return folder
    raise ConfigError(
        f"{INDEX} is neither in {package / _INSTALLED} nor in {package.parent}: install the "
        "package from its wheel, or by pip install -e from a checkout"
    )


def model_entries() -> dict[str, ModelEntry]:
    """All shipped models by name.

    Raises:
        ConfigError: If a metafile is missing, or two models have one name.
    """
    root = zoo_root()
    entries: dict[str, ModelEntry] = {}
    for metafile in mmengine.load(root / INDEX)["Import"]:
        if not (root / metafile).is_file():
            raise ConfigError(f"{root / INDEX} names {metafile}, which does not exist")
        for model in mmengine.load(root / metafile)["Models"]:
            name = model["Name"]
            if name in entries:
                raise ConfigError(f"{metafile}: there are two models {name}")
            entries[name] = ModelEntry(
                name, model["In Collection"], root / model["Config"], model.get("Metadata") or {}
            )
    return entries


def list_models(pattern: str | None = None) -> list[str]:
    """Names of shipped models, sorted.

    Args:
        pattern: Shell pattern such as ``'odc*'`` or ``'*r50*'``. Defaults to None, all.
    """
    names = sorted(model_entries())
    return names if pattern is None else fnmatch.filter(names, pattern)


def model_config(name: str) -> Path:
    """The config file of a model.

    Raises:
        ConfigError: If there is no such model, naming near ones.
    """
    entries = model_entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see list_models()"
        raise ConfigError(f"there is no model {name!r}, {hint}")
    return entries[name].config


def get_model(
    name: str | Path | Config,
    checkpoint: str | Path | None = None,
    *,
    device: str | None = None,
    strict: bool = True,
) -> TrainedNetwork:
    """The network of a model, in evaluation mode.

    Called with images (B, C, H, W), uint8 or in 0..1, it gives the features that are clustered;
    its ``assigner`` knows their clusters once a training of this package has ended.

    Args:
        name: Name in :func:`list_models`, a config file, or a config.
        checkpoint: Checkpoint of a training with this config, a file that
            :func:`~mmdeepcluster.apis.publish` wrote, or weights of another project (of which
            backbone and a fitting neck are taken, see
            :func:`~mmdeepcluster.engine.load_weights`). Defaults to None, random weights: none
            are shipped.
        device: Where it goes. Defaults to None, the CPU.
        strict: Refuses weights of another project that are not the whole backbone.

    Raises:
        ConfigError: If there is no such model, or the file does not fit it.
    """
    named = isinstance(name, str) and not name.endswith(".py")
    config = model_config(str(name)) if named else name
    if checkpoint is None:
        network = build_network(config)
    elif SCOPE in read_weights(checkpoint):
        network = load_trained(config, checkpoint)
    else:
        network = build_network(config)
        load_weights(network, checkpoint, strict)
    return network if device is None else network.to(device)
