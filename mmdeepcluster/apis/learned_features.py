"""What a network has learned: filters, images that please its units, and images made for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mmdeepcluster.apis.exploration.network import spread
from mmdeepcluster.apis.exploration.views import picture_of
from mmdeepcluster.apis.unit_passes import Activations, activations, ascents, receptive_places
from mmdeepcluster.apis.unopened import trusted_dataset
from mmdeepcluster.datasets import BaseImageDataset, ImageView
from mmdeepcluster.engine import (
    ConfigError,
    FeatureSource,
    ResolvedConfig,
    config_seed,
    derive_seed,
    eval_loader,
    load_source,
    prepare_config,
    share_cores,
    write_atomically,
)
from mmdeepcluster.models import FeatureModel, fold_sobel
from mmdeepcluster.visualization.explore_pictures import Picture
from mmdeepcluster.visualization.features_page import (
    LayerPictures,
    LearnedFeatures,
    UnitPictures,
    ascent_sheet,
    features_page,
    top_sheet,
)
from mmdeepcluster.visualization.gradient_ascent import options_for
from mmdeepcluster.visualization.unit_pictures import (
    filter_pictures,
    filter_sheet,
    liveliest,
    shown_place,
    top_images,
)

DEFAULT_NUM_IMAGES = 1000
_NUM_LAYERS = 4
_NUM_UNITS = 8
_NUM_TOP = 9
_SIDE = 96
# Small images are enlarged to at least this many pixels.
_ASCENT_SIDE = 148


def learned_features(
    config: str | Path | Config,
    *,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    layers: Sequence[str] | None = None,
    units: Sequence[int] | None = None,
    num_images: int = DEFAULT_NUM_IMAGES,
    steps: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> LearnedFeatures:
    """Shows what the layers of a network hold on to (DeepCluster, section 4, "Visualizations").

    Three views: the filters of the first convolution; the images of the data set that activate
    chosen units most, with the place that they see; and images made by gradient ascent
    (:mod:`mmdeepcluster.visualization.gradient_ascent`). The same call gives the same pictures.

    Args:
        config: Config file or config of a training.
        checkpoint: Checkpoint of that training. Defaults to None, the network it starts from.
        out: Folder for the pictures as PNG files and ``learned_features.html``. Defaults to None,
            nothing is written.
        layers: Names of layers: stages of the backbone, ``backbone`` or ``neck``. Defaults to
            None, four of them from the first to the one that is clustered.
        units: Units of each layer. Defaults to None, the eight that vary most over the images.
        num_images: Images that are looked at, a seeded sample of the data set. Defaults to 1000.
        steps: Steps of the ascents. Defaults to None, 80 for the first to 200 for the last layer.
        options: What ``--cfg-options`` would set, with dotted keys.

    Raises:
        ConfigError: If the config, the checkpoint, a layer or a unit cannot be used.
    """
    if num_images < 1:
        raise ConfigError(f"--images {num_images}: must be at least 1")
    if steps is not None and steps < 1:
        raise ConfigError(f"--steps {steps}: must be at least 1")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f"--out {out} is a file, give a folder")
    source = _source(config, checkpoint, options)
    chosen = _layers(source.model, layers)
    share_cores()
    found = _gather(source, chosen, units, num_images, steps)
    if out is not None:
        _write(Path(out), found)
    return found


def _source(
    config: str | Path | Config, checkpoint: str | Path | None, options: Mapping[str, Any] | None
) -> FeatureSource:
    cfg = prepare_config(config, options)
    weights = None if checkpoint is not None else cfg.get("load_from")
    return load_source(cfg, checkpoint, weights=weights)


def _layers(model: FeatureModel, wanted: Sequence[str] | None) -> list[str]:
    """The layers to show.

    Raises:
        ConfigError: For an unknown one, naming those there are.
    """
    if wanted:
        unknown = [name for name in wanted if name not in model.layers]
        if unknown:
            raise ConfigError(
                f"--layers {' '.join(unknown)}: no such layer; there are {', '.join(model.layers)}"
            )
        return list(wanted)
    backbone: Any = model.backbone
    names = backbone.stage_names[: backbone.out_indices[-1] + 1]
    # Of a convolution and its ReLU the latter says when a unit is active.
    active = [name for name in names if not name.startswith(("conv_", "pool_"))] or list(names)
    return spread(active, _NUM_LAYERS)


def _gather(
    source: FeatureSource,
    layers: Sequence[str],
    units: Sequence[int] | None,
    num_images: int,
    steps: int | None,
) -> LearnedFeatures:
    cfg, model = source.cfg, source.model.to(get_device()).eval()
    dataset = trusted_dataset(cfg)
    seed = config_seed(cfg)
    sample = np.random.default_rng(derive_seed(seed, "learned features")).permutation(len(dataset))
    sample = np.sort(sample[:num_images])
    cfg.eval_dataloader.num_workers = 0
    loader = eval_loader(ResolvedConfig(cfg, dataset), dataset, sample.tolist())
    shown = []
    for layer in layers:
        print_log(f"{layer} ...", "current")
        try:
            found = activations(model, loader, layer)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"layer {layer}: {' '.join(str(error).split())}") from error
        shown.append(_of_layer(source, dataset, sample, layer, found, units, steps, seed))
    return LearnedFeatures(
        network=type(model.backbone).__name__,
        origin=_short(source.origin),
        num_images=len(sample),
        dataset=repr(dataset),
        filters=first_filters(model.backbone),
        layers=shown,
    )


def _short(origin: str) -> str:
    """Where weights are from, a file by its name alone."""
    kind, _, path = origin.partition(" ")
    return f"{kind} {Path(path).name}" if kind in ("checkpoint", "weights") else origin


def _of_layer(
    source: FeatureSource,
    dataset: BaseImageDataset,
    sample: NDArray[np.int64],
    layer: str,
    found: Activations,
    units: Sequence[int] | None,
    steps: int | None,
    seed: int,
) -> LayerPictures:
    number = found.largest.shape[1]
    wrong = [unit for unit in units or () if not 0 <= unit < number]
    if wrong:
        raise ConfigError(f"--units {wrong[0]}: layer {layer} has units 0 to {number - 1}")
    chosen = list(units) if units else liveliest(found.largest, _NUM_UNITS)
    view = ImageView(dataset, source.cfg.eval_pipeline, name="eval_pipeline")
    size = view.image_shape[1]
    options = options_for(_depth(source.model, layer), size, steps)
    best = [top_images(found.largest[:, unit], _NUM_TOP) for unit in chosen]
    tops = [torch.stack([view[int(sample[n])]["inputs"] for n in rows]) for rows in best]
    made = ascents(
        source.model,
        layer,
        chosen,
        torch.stack([images[0] for images in tops]),
        options,
        derive_seed(seed, "gradient ascent"),
    )
    pictures = [
        UnitPictures(
            unit=unit,
            top=_top(source.model, layer, unit, images, found.places[rows, unit].tolist()),
            values=found.largest[rows, unit].tolist(),
            names=[dataset.sample_name(int(sample[n])) for n in rows],
            ascent=_large(made.images[place]),
            reached=made.reached[place],
            mean=float(found.mean[:, unit].max()),
            started="image" if made.from_image[place] else "noise",
        )
        for place, (unit, rows, images) in enumerate(zip(chosen, best, tops, strict=True))
    ]
    silent = int((found.largest.max(axis=0) <= 0).sum()) if found.largest.min() >= 0 else 0
    return LayerPictures(layer, found.shape, options.steps, silent, pictures)


def _depth(model: FeatureModel, layer: str) -> float:
    """0 for the first stage, 1 for the last and what is behind it."""
    names = model.backbone.stage_names
    if layer not in names:
        return 1.0
    return float(names.index(layer) / max(len(names) - 1, 1))


def _top(
    model: FeatureModel, layer: str, unit: int, images: Tensor, places: list[int]
) -> list[Picture]:
    """Squares of the images, the place that the unit sees cut out or marked."""
    found = receptive_places(model, images, layer, unit, places)
    return [
        shown_place(picture_of(image), place, _SIDE)
        for image, place in zip(images, found, strict=True)
    ]


def _large(pixels: NDArray[np.uint8]) -> Picture:
    """A picture (H, W, 3), small ones enlarged."""
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    height, width = pixels.shape[:2]
    factor = max(1.0, _ASCENT_SIDE / min(height, width))
    size = (round(width * factor), round(height * factor))
    image = Image.fromarray(np.ascontiguousarray(colours))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


@torch.no_grad()
def first_filters(backbone: nn.Module) -> dict[str, Picture]:
    """Sheets of the filters of the first convolution, by what they show.

    Behind a Sobel layer a filter sees two gradients, which are shown apart and, folded with the
    layer (R24), as a filter of the grey value.
    """
    conv = next((m for m in backbone.modules() if isinstance(m, nn.Conv2d)), None)
    if conv is None:
        return {}
    weight = conv.weight.detach().cpu().float()
    if getattr(backbone, "sobel", None) is not None:
        folded: Any = fold_sobel(backbone, exact_borders=False)  # type: ignore[type-var]
        views = {
            "of the horizontal gradient": weight[:, :1],
            "of the vertical gradient": weight[:, 1:],
            "folded with the Sobel layer: of the grey value": folded.conv1.weight.detach().cpu(),
        }
    elif weight.shape[1] in (1, 3):
        views = {"of colours" if weight.shape[1] == 3 else "of grey values": weight}
    else:
        return {}
    return {name: filter_sheet(filter_pictures(value.numpy())) for name, value in views.items()}


def _write(folder: Path, found: LearnedFeatures) -> None:
    page = features_page(found)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, sheet in enumerate(found.filters.values()):
            name = f"filters_{number}.png" if number else "filters.png"
            Image.fromarray(sheet).save(folder / name)
        for layer in found.layers:
            Image.fromarray(top_sheet(layer)).save(folder / f"top_{layer.layer}.png")
            Image.fromarray(ascent_sheet(layer)).save(folder / f"ascent_{layer.layer}.png")
        write_atomically(folder / "learned_features.html", page)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error}") from error
    print_log(f"written: {folder / 'learned_features.html'}, and its pictures", "current")
