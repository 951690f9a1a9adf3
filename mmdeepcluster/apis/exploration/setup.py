"""The images, the network and the optimizer of an exploration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from mmdeepcluster.apis.unopened import trusted_dataset
from mmdeepcluster.apis.untrained import untrained_algorithm
from mmdeepcluster.datasets import BaseImageDataset, ImageFileDataset
from mmdeepcluster.datasets.joined_images import JoinedImages
from mmdeepcluster.datasets.packed_strings import PackedStrings
from mmdeepcluster.datasets.pil_loading import load_rgb
from mmdeepcluster.engine import (
    ConfigError,
    ResolvedConfig,
    config_seed,
    derive_seed,
    eval_loader,
    load_source,
    load_weights,
    prepare_config,
    resolve_for,
    train_loader,
)
from mmdeepcluster.engine.hooks.online_clustering_hook import calibrate
from mmdeepcluster.models import (
    AlternatingAlgorithm,
    BaseAlgorithm,
    OnlineAlgorithm,
    extract,
)

# Own images that are taken from the data set where none are given.
_NUM_OWN = 3
# One sprite holds all thumbnails, and a picture has at most 65,535 rows.
MAX_IMAGES = 20_000


@dataclass(frozen=True)
class Setup:
    """What all parts of an exploration work on.

    Attributes:
        resolved: The config, with the sizes that fit the images, and these images.
        algorithm: The method, with a network that clusters nothing yet.
        optim_wrapper: Its optimizer.
        loader: Loader of training batches.
        num_own: How many of the images are own ones; they come first.
        origin: Where the weights are from.
        whole: The data set that the other images are a sample of.
        configured_clusters: K of the config, None where it is derived.
        calibration_passes: Passes that set the statistics of batch norm.
        seed: ``randomness.seed``.
    """

    resolved: ResolvedConfig
    algorithm: BaseAlgorithm
    optim_wrapper: Any
    loader: Any
    num_own: int
    origin: str
    whole: BaseImageDataset
    configured_clusters: int | None
    calibration_passes: int
    seed: int

    def hook(self) -> Mapping[str, Any]:
        """Options of the hook that clusters."""
        hooks = self.resolved.cfg.get("default_hooks") or {}
        return hooks.get("clustering") or {}

    def features(self) -> Tensor:
        """Features (N, D) of all images through the evaluation pipeline."""
        loader = eval_loader(self.resolved, self.resolved.dataset)
        return extract(self.algorithm, loader)["neck"]


def set_up(
    config: str | Path | Config,
    images: Sequence[str | Path],
    checkpoint: str | Path | None,
    num_images: int,
    options: Mapping[str, Any] | None,
) -> Setup:
    """Opens the images and builds the method for them.

    Raises:
        ConfigError: If config, images or weights cannot be used.
    """
    options = dict(options or {})
    cfg = prepare_config(config, options)
    _use_this_process(cfg)
    seed = config_seed(cfg)
    own = _own_images(images)
    whole = trusted_dataset(cfg)
    dataset = _joined(own, whole, num_images, seed)
    resolved = resolve_for(cfg, dataset, options)
    algorithm, origin = _network(resolved, checkpoint, seed)
    if not isinstance(algorithm, AlternatingAlgorithm | OnlineAlgorithm):
        raise ConfigError(f"model.type={type(algorithm).__name__} cannot be explored")
    loader = train_loader(resolved)
    view: Any = loader.dataset
    try:
        algorithm.check_images(view.image_shape)
        optim_wrapper = build_optim_wrapper(algorithm, cfg.optim_wrapper)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    configured = cfg.model.get("num_clusters")
    return Setup(
        resolved=resolved,
        algorithm=algorithm,
        optim_wrapper=optim_wrapper,
        loader=loader,
        num_own=len(own) if own is not None else min(_NUM_OWN, len(dataset)),
        origin=origin,
        whole=whole,
        configured_clusters=configured if isinstance(configured, int) else None,
        calibration_passes=_calibrate(resolved, algorithm, loader, checkpoint, seed),
        seed=seed,
    )


def _use_this_process(cfg: Config) -> None:
    """Loads images here: for a few of them data workers cost more than they give."""
    for name in ("train_dataloader", "eval_dataloader"):
        part = cfg.get(name)
        if not part:
            raise ConfigError(f"{name}: the config has none")
        part.num_workers = 0
    if cfg.model.get("grouped"):
        cfg.model.grouped = False


def _own_images(images: Sequence[str | Path]) -> BaseImageDataset | None:
    """The images that a person gave, each of which is decoded once.

    Raises:
        ConfigError: Naming the first one that cannot be used.
    """
    for image in images:
        if not Path(image).is_file():
            raise ConfigError(f"image {image}: there is no such file")
        try:
            load_rgb(Path(image))
        except (OSError, ValueError, SyntaxError) as error:
            raise ConfigError(f"image {image} cannot be read: {error}") from error
    if not images:
        return None
    names = PackedStrings(str(Path(image).absolute()) for image in images)
    return ImageFileDataset(Path("/"), names, unreadable="trust")


def _joined(
    own: BaseImageDataset | None, whole: BaseImageDataset, num_images: int, seed: int
) -> JoinedImages:
    """Own images, then a seeded sample of the data set without them."""
    if not 8 <= num_images <= MAX_IMAGES:
        raise ConfigError(f"--images {num_images}: must lie between 8 and {MAX_IMAGES}")
    generator = np.random.default_rng(derive_seed(seed, "exploration sample"))
    chosen = generator.choice(len(whole), min(num_images, len(whole)), replace=False)
    chosen = chosen.astype(np.int64)
    if own is None:
        return JoinedImages([(whole, chosen)])
    files = {Path(str(own.file_path(index))).resolve() for index in range(len(own))}
    kept = [row for row in chosen.tolist() if _file(whole, row) not in files]
    parts = [(own, np.arange(len(own))), (whole, np.array(kept, dtype=np.int64))]
    return JoinedImages(parts)


def _file(dataset: BaseImageDataset, index: int) -> Path | None:
    path = dataset.file_path(index)
    return None if path is None else Path(path).resolve()


def _network(
    resolved: ResolvedConfig, checkpoint: str | Path | None, seed: int
) -> tuple[BaseAlgorithm, str]:
    """The method with the weights that were asked for, and where they are from."""
    algorithm = untrained_algorithm(resolved, seed)
    start = resolved.cfg.get("load_from")
    if checkpoint is not None:
        source = load_source(resolved.cfg, checkpoint)
        algorithm.backbone.load_state_dict(source.model.backbone.state_dict())
        algorithm.neck.load_state_dict(source.model.neck.state_dict())
        return algorithm, f"checkpoint {Path(checkpoint).name}"
    if start:
        load_weights(algorithm, start, strict=resolved.cfg.get("load_from_strict", True))
        return algorithm, f"weights {Path(start).name}"
    return algorithm, f"random weights of seed {seed}"


def _calibrate(
    resolved: ResolvedConfig,
    algorithm: BaseAlgorithm,
    loader: Any,
    checkpoint: str | Path | None,
    seed: int,
) -> int:
    """Sets the statistics of batch norm as a training with this config does before it starts."""
    hooks = resolved.cfg.get("default_hooks") or {}
    passes = int((hooks.get("clustering") or {}).get("calibration_passes", 0))
    if checkpoint is not None or not passes:
        return 0
    print_log(f"setting the statistics of batch norm: {passes} passes ...", "current")
    calibrate(algorithm, loader, passes, seed)
    return passes
