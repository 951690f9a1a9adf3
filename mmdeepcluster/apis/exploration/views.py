"""Own images through both pipelines, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from mmdeepcluster.apis.exploration.setup import Setup
from mmdeepcluster.datasets import BaseImageDataset, Draw, ImageView
from mmdeepcluster.datasets.pipeline_trace import trace
from mmdeepcluster.engine import derive_seed
from mmdeepcluster.models import DeeperCluster
from mmdeepcluster.visualization.exploration import OwnImage, Picture, Step

# Longest side of an original on the page, in pixels.
_ORIGINAL = 480
_NUM_DRAWS = 8
_THUMBNAIL = 48


def explore_views(setup: Setup) -> list[OwnImage]:
    """Originals, both pipelines step by step, further draws and turns of each own image."""
    cfg, dataset = setup.resolved.cfg, setup.resolved.dataset
    view = ImageView(dataset, cfg.train_pipeline, name="train_pipeline")
    turns = getattr(setup.algorithm, "num_rotations", 1)
    found = []
    for index in range(setup.num_own):
        image = dataset.load_image(index)
        seeds = [draw_seed(setup, index, number) for number in range(_NUM_DRAWS + 1)]
        upright = run_steps(dataset, cfg.eval_pipeline, index)
        found.append(
            OwnImage(
                name=dataset.sample_name(index).rpartition("/")[2],
                original=_small(image, _ORIGINAL),
                size=image.size,
                train_steps=run_steps(dataset, cfg.train_pipeline, Draw(index, seeds[0])),
                train_draws=[picture_of(view[Draw(index, seed)]["inputs"]) for seed in seeds[1:]],
                eval_steps=upright,
                planes={},
                maps=(),
                turned=[np.rot90(upright[-1].picture, turn).copy() for turn in range(turns)]
                if isinstance(setup.algorithm, DeeperCluster) and turns > 1
                else [],
            )
        )
    return found


def draw_seed(setup: Setup, index: int, number: int = 0) -> int:
    """Seed of a draw of an own image; number 0 is the one that is followed."""
    return derive_seed(setup.seed, "exploration draw", index, number)


def run_steps(
    dataset: BaseImageDataset, pipeline: Sequence[Mapping[str, Any]], key: Draw | int
) -> list[Step]:
    """The picture after each step of a pipeline, as torchvision makes it.

    Args:
        dataset: The images.
        pipeline: Configs of the steps.
        key: A draw, or the index of an image for a pipeline without chance.
    """
    loader: DataLoader[Any] = DataLoader(ImageView(dataset, pipeline))
    return [
        Step(step_name(config), picture_of(step.image))
        for config, step in zip(pipeline, trace(loader, pipeline, key), strict=True)
    ]


def step_name(config: Mapping[str, Any]) -> str:
    """A step as it stands in the config: ``Resize(size=256)``."""
    plain = config.to_dict() if isinstance(config, Config) else dict(config)
    kind = plain.pop("type")
    options = ", ".join(f"{key}={value}" for key, value in plain.items())
    return f"{kind if isinstance(kind, str) else kind.__name__}({options})"


def picture_of(value: Any) -> Picture:
    """Pixels (H, W, 3) of an image or of a tensor (C, H, W), uint8 or in 0..1."""
    if isinstance(value, Tensor):
        plain = value.as_subclass(Tensor)
        if plain.is_floating_point():
            plain = (plain * 255).round().clamp(0, 255).to(torch.uint8)
        pixels = plain.permute(1, 2, 0).cpu().numpy()
    else:
        pixels = np.asarray(value)
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return np.ascontiguousarray(np.broadcast_to(pixels[:, :, :3], (*pixels.shape[:2], 3)))


def thumbnails(setup: Setup) -> Picture:
    """Small pictures (N, h, w, 3) of all images, as the evaluation pipeline shows them."""
    dataset = setup.resolved.dataset
    view = ImageView(dataset, setup.resolved.cfg.eval_pipeline, name="eval_pipeline")
    small = []
    for index in range(len(dataset)):
        picture = Image.fromarray(picture_of(view[index]["inputs"]))
        small.append(np.asarray(picture.resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)))
    return np.stack(small)


def _small(image: Image.Image, longest: int) -> Picture:
    shrunk = image.convert("RGB")
    shrunk.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(shrunk)
