"""The images of a run: thumbnails of some, and a map of how the trained network sees them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from numpy.typing import NDArray

from mmdeepcluster.apis.run_reports.files import RunFiles
from mmdeepcluster.clustering import l2_normalize
from mmdeepcluster.datasets import BaseImageDataset, ImageView, build_eval_loader
from mmdeepcluster.engine import ConfigError, derive_seed, load_source, open_images, share_cores
from mmdeepcluster.models import feature_rows
from mmdeepcluster.visualization import MIN_POINTS, embed_2d, make_sprites
from mmdeepcluster.visualization.sprites import Sprites

NUM_QUERIES, NUM_NEIGHBORS = 12, 8


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Some images as the network sees them.

    Attributes:
        samples: Ascending images, int64 (M,).
        positions: Their places in a plane, fp32 (M, 2).
        queries: Images drawn at random, int64 (Q,).
        neighbors: Those of ``samples`` with the largest cosine to each, int64 (Q, R).
        cosines: These cosines, fp32 (Q, R).
        space: What the features are, in words.
    """

    samples: NDArray[np.int64]
    positions: NDArray[np.float32]
    queries: NDArray[np.int64]
    neighbors: NDArray[np.int64]
    cosines: NDArray[np.float32]
    space: str


def open_run_images(run: RunFiles, num_images: int) -> BaseImageDataset:
    """Opens the images of a run.

    Raises:
        ConfigError: If they are not there, or are others than ``samples.csv`` lists.
    """
    if run.cfg is None:
        raise ConfigError(run.missing["config"])
    dataset = open_images(run.cfg)
    if len(dataset) != num_images:
        raise ConfigError(
            f"the data set of the config has {len(dataset):,} images, the run had {num_images:,}"
        )
    if run.samples is not None:
        for index in (0, num_images // 2, num_images - 1):
            if dataset.sample_name(index) != run.samples.names[index]:
                raise ConfigError(
                    f"image {index} of the data set is {dataset.sample_name(index)!r}, in "
                    f"samples.csv {run.samples.names[index]!r}: the files have changed since"
                )
    return dataset


def link_base(dataset: BaseImageDataset, page: Path, relative: bool) -> str | None:
    """What stands before the name of an image in a link to its file; None without files.

    Args:
        dataset: The images.
        page: The page.
        relative: Whether links lead from the folder of the page, for pages that move with their
            images; otherwise they are absolute.
    """
    path, name = dataset.file_path(0), dataset.sample_name(0)
    if path is None or not path.endswith(name) or Path(name).is_absolute():
        return None
    root = Path(path[: -len(name)] or ".").resolve()
    if relative:
        return quote(os.path.relpath(root, page.parent.resolve()).replace(os.sep, "/")) + "/"
    return root.as_uri() + "/"


def thumbnails(dataset: BaseImageDataset, samples: Sequence[int], size: int) -> Sprites:
    """Sprite sheets of some images, in this order.

    Images smaller than ``size`` are kept as small as they are.

    Raises:
        ConfigError: If an image cannot be read.
    """
    samples = [int(index) for index in samples]
    try:
        looked_at = (dataset.load_image(index) for index in samples[:16])
        largest = max((min(image.size) for image in looked_at), default=size)
        return make_sprites(map(dataset.load_image, samples), max(4, min(size, largest)))
    except OSError as error:
        raise ConfigError(" ".join(str(error).split())) from error


def feature_map(
    cfg: Config,
    checkpoint: Path,
    dataset: BaseImageDataset,
    method: str,
    max_images: int,
    seed: int,
) -> FeatureMap:
    """Maps a seeded subset of the images and looks for neighbours in it.

    Features are those that are clustered, after the assigner's transform where there is one. Not
    collective: one process computes.

    Raises:
        ConfigError: If the checkpoint or an image cannot be used, or there is nothing to map.
    """
    generator = np.random.default_rng(derive_seed(seed, "report map"))
    number = min(len(dataset), max_images)
    samples = np.sort(generator.choice(len(dataset), number, replace=False)).astype(np.int64)
    if number < MIN_POINTS:
        raise ConfigError(f"a map needs at least {MIN_POINTS} images, there are {number}")
    share_cores()
    source = load_source(cfg, checkpoint)
    model = source.model.to(get_device())
    layer = model.default_layer
    rows = torch.empty(number, model.feature_dim)
    try:
        view = ImageView(dataset, cfg.eval_pipeline, name="eval_pipeline")
        loader = build_eval_loader(view, indices=samples.tolist(), **cfg.eval_dataloader)
        for part in feature_rows(model, loader, (layer,), 0, number):
            rows[part.first : part.first + len(part.samples)] = part.features[layer].cpu()
        space = f"{layer}, {rows.shape[1]} wide"
        if source.assigner is not None:
            rows = source.assigner.transform(rows)
            space = (
                f"{layer}, {rows.shape[1]} wide after the assigner's transform, as it is clustered"
            )
        positions = embed_2d(rows.numpy(), method, derive_seed(seed, "embedding"))
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    unit = l2_normalize(rows)
    queries = np.sort(generator.choice(number, min(NUM_QUERIES, number), replace=False))
    cosines = unit[torch.from_numpy(queries)] @ unit.T
    cosines[torch.arange(len(queries)), torch.from_numpy(queries)] = -torch.inf
    best = cosines.topk(min(NUM_NEIGHBORS, number - 1), dim=1)
    return FeatureMap(
        samples,
        positions,
        samples[queries],
        samples[best.indices.numpy()],
        best.values.numpy(),
        space,
    )
