"""A page that walks one's own images through every stage of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mmdeepcluster.apis.exploration import (
    Setup,
    explore_clusters,
    explore_network,
    explore_training,
    explore_views,
    set_up,
    thumbnails,
)
from mmdeepcluster.engine import ConfigError, share_cores, write_atomically
from mmdeepcluster.visualization.exploration import Exploration
from mmdeepcluster.visualization.explore_page import explore_page

DEFAULT_NUM_IMAGES = 512


def explore_pipeline(
    config: str | Path | Config,
    images: Sequence[str | Path] = (),
    *,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    num_images: int = DEFAULT_NUM_IMAGES,
    num_steps: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Exploration:
    """Follows images through the method of a config, with its network, and shows it on a page.

    Everything is computed, nothing drawn from memory: augmentations, network, PCA, k-means,
    sampler and optimizer are those of the config. What is clustered are the own images and a
    seeded sample of the data set; the number of clusters follows from it where the configured one
    does not suit. The same call gives the same page.

    Args:
        config: Config file or config of a training.
        images: Own image files. Defaults to none: the first images of the sample are followed.
        checkpoint: Checkpoint of that training, whose backbone and neck are taken. Defaults to
            None, the network that the training starts from.
        out: HTML file to write. Defaults to None, nothing is written.
        num_images: Size of the sample. Defaults to 512.
        num_steps: Training steps between the two clusterings, after the first one. Defaults to
            None, an epoch of the sample.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        What is on the page.

    Raises:
        ConfigError: If the config, an image or the checkpoint cannot be used.
        TrainingError: If the loss of a step is not finite.
    """
    if num_steps is not None and num_steps < 0:
        raise ConfigError(f"--steps {num_steps}: must be at least 0")
    if out is not None and (Path(out).is_dir() or not Path(out).absolute().parent.is_dir()):
        raise ConfigError(f"--out {out}: give a file in a folder that exists")
    setup = set_up(config, images, checkpoint, num_images, options)
    share_cores()
    print_log(f"exploring {type(setup.algorithm).__name__}, {setup.origin} ...", "current")
    exploration = _gather(setup, num_steps)
    if out is not None:
        page = explore_page(exploration)
        try:
            write_atomically(Path(out), page)
        except OSError as error:
            raise ConfigError(f"--out {out}: {error}") from error
        print_log(f"written: {out} ({len(page) / 2**20:.1f} MiB)", "current")
    return exploration


def _gather(setup: Setup, num_steps: int | None) -> Exploration:
    cfg, dataset = setup.resolved.cfg, setup.resolved.dataset
    try:
        own = explore_views(setup)
        small = thumbnails(setup)
        layers, own = explore_network(setup, own)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    clusters = explore_clusters(setup)
    training = explore_training(setup, num_steps)
    return Exploration(
        method=type(setup.algorithm).__name__,
        config=Path(cfg.filename).name if cfg.filename else "a config",
        origin=setup.origin,
        seed=setup.seed,
        dataset=repr(setup.whole),
        dataset_size=len(setup.whole),
        configured_clusters=setup.configured_clusters,
        transforms=str(cfg.train_dataloader.get("transforms", "torchvision")),
        calibration_passes=setup.calibration_passes,
        facts=_facts(setup),
        own=own,
        names=[dataset.sample_name(index) for index in range(len(dataset))],
        thumbnails=small,
        layers=layers,
        matrices=clusters.matrices,
        clustering=clusters.clustering,
        neighborhoods=clusters.neighborhoods,
        draws=clusters.draws,
        step=training.step,
        memory=training.memory,
        next_cycle=training.next_cycle,
    )


def _facts(setup: Setup) -> dict[str, Any]:
    """Components and numbers that texts name."""
    cfg, algorithm = setup.resolved.cfg, setup.algorithm
    mean, std = algorithm.data_preprocessor.mean, algorithm.data_preprocessor.std
    return {
        "backbone": type(algorithm.backbone).__name__,
        "neck": type(algorithm.neck).__name__,
        "mean": [round(float(value), 3) for value in mean.flatten()],
        "std": [round(float(value), 3) for value in std.flatten()],
        "parameters": sum(p.numel() for p in algorithm.parameters()),
        "num_rotations": getattr(algorithm, "num_rotations", 1),
        "head_start": getattr(algorithm, "head_start", "random"),
        "interval": int(setup.hook().get("interval", 1)),
        "max_iters": getattr(getattr(algorithm, "clusterer", None), "max_iters", "all"),
        "batch_size": int(cfg.train_dataloader.batch_size),
    }
