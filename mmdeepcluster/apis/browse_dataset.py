"""Pictures of what training sees."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config

from mmdeepcluster.apis.unopened import unopened_dataset
from mmdeepcluster.datasets import BaseImageDataset, Draw
from mmdeepcluster.datasets.pipeline_trace import TO_TENSOR, final_image, to_pixels, trace
from mmdeepcluster.engine import (
    ConfigError,
    ResolvedConfig,
    config_seed,
    eval_loader,
    resolve_for_size,
    train_loader,
    write_atomically,
)
from mmdeepcluster.visualization import Cell, contact_sheet

MODES = ("original", "transformed", "concat", "pipeline")
PHASES = ("train", "eval")
# Samples of a sheet: of one image each, of two, of a row each.
_PER_SHEET = {"original": 48, "transformed": 48, "concat": 24, "pipeline": 12}
_PER_ROW = {"original": 8, "transformed": 8, "concat": 4, "pipeline": 1}


class Browsed(NamedTuple):
    """What :func:`browse_dataset` wrote.

    Attributes:
        files: Sheets, and the table of their samples.
        notes: What differs from a training, in words.
    """

    files: list[Path]
    notes: list[str]


def browse_dataset(
    config: str | Path | Config,
    out: str | Path,
    *,
    number: int = 24,
    mode: str = "transformed",
    phase: str = "train",
    epoch: int = 1,
    labels: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Browsed:
    """Draws sheets of images as the training of a config gets them, bit for bit.

    In training they are the first draws of an epoch of one process, seeded by
    ``randomness.seed`` and the epoch and made by ``train_dataloader.transforms``; in evaluation the
    first images of the data set.

    Args:
        config: Config file or config.
        out: Folder for ``<phase>_<mode>.png`` (numbered where there are several) and
            ``samples.csv``.
        number: Samples to draw.
        mode: ``original`` files, ``transformed`` as the network gets them, ``concat`` both, or
            ``pipeline``: a row per sample, an image behind each step.
        phase: ``train`` or ``eval``: which pipeline.
        epoch: In training, counted from 1 as in the logs.
        labels: ``labels_epoch_N.npy``, for samplers that draw by cluster.
        options: What ``--cfg-options`` would set, with dotted keys.

    Raises:
        ConfigError: The config, the data or an option cannot be used.
    """
    _check(number, mode, phase, epoch)
    dataset = unopened_dataset(config, options, for_pixels=True)
    resolved = ResolvedConfig(resolve_for_size(config, options, len(dataset)), dataset)
    notes: list[str] = []
    if phase == "train":
        loader: Any = train_loader(resolved)
        keys: Sequence[Any] = _draws(loader.batch_sampler.sampler, epoch, number, labels, notes)
    else:
        loader = eval_loader(resolved, dataset)
        keys = range(min(number, len(dataset)))
    pipeline = resolved.cfg[f"{phase}_pipeline"]
    try:
        groups = [_cells(loader, pipeline, dataset, key, mode) for key in keys]
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    title = _title(resolved, phase, mode, epoch)
    files = list(_sheets(groups, folder, f"{phase}_{mode}", title, mode))
    write_atomically(folder / "samples.csv", _table(keys, dataset))
    return Browsed([*files, folder / "samples.csv"], notes)


def _check(number: int, mode: str, phase: str, epoch: int) -> None:
    for name, value, known in (("mode", mode, MODES), ("phase", phase, PHASES)):
        if value not in known:
            raise ConfigError(f"--{name} must be one of {', '.join(known)}, got {value!r}")
    for name, count in (("number", number), ("epoch", epoch)):
        if count < 1:
            raise ConfigError(f"--{name} must be at least 1, got {count}")


def _draws(
    sampler: Any, epoch: int, number: int, labels: str | Path | None, notes: list[str]
) -> list[Draw]:
    """The first draws of an epoch."""
    kind = type(sampler).__name__
    if labels is not None:
        if not hasattr(sampler, "set_labels"):
            raise ConfigError(f"--labels {labels}: {kind} draws without labels, leave it out")
        try:
            sampler.set_labels(torch.from_numpy(np.load(labels, allow_pickle=False)))
        except (OSError, ValueError) as error:
            raise ConfigError(f"--labels {labels}: {error}") from error
    elif hasattr(sampler, "set_labels"):
        notes.append(
            f"{kind} draws by cluster: give --labels WORK_DIR/labels_epoch_N.npy for the draws of "
            "a training; without, each image is drawn once"
        )
    sampler.set_epoch(epoch - 1)
    return list(islice(iter(sampler), number))


def _cells(
    loader: Any,
    pipeline: Sequence[Mapping[str, Any]],
    dataset: BaseImageDataset,
    key: Any,
    mode: str,
) -> list[Cell]:
    """Images of one sample."""
    index = key.index if isinstance(key, Draw) else key
    name = dataset.sample_name(index)
    cells = []
    if mode != "transformed":
        image = np.asarray(dataset.load_image(index))
        cells.append(Cell(image, (name, f"{image.shape[1]}x{image.shape[0]}")))
    if mode in ("transformed", "concat"):
        cells.append(
            _cell(final_image(loader, key), name if mode == "transformed" else "transformed")
        )
    if mode == "pipeline":
        before = None
        for step in trace(loader, pipeline, key):
            if step.name not in TO_TENSOR:
                same = before is not None and torch.equal(before, step.image)
                cells.append(_cell(step.image, step.name, ", unchanged" if same else ""))
            before = step.image
    return cells


def _cell(image: torch.Tensor, text: str, remark: str = "") -> Cell:
    pixels = to_pixels(image)
    grey = ", grey" if pixels.ndim == 2 else ""
    return Cell(pixels, (text, f"{pixels.shape[1]}x{pixels.shape[0]}{grey}{remark}"))


def _sheets(
    groups: Sequence[list[Cell]], folder: Path, stem: str, title: str, mode: str
) -> Iterator[Path]:
    """Writes the cells of samples."""
    size, per_row = _PER_SHEET[mode], _PER_ROW[mode]
    count = -(-len(groups) // size)
    for number in range(count):
        part = groups[number * size : (number + 1) * size]
        rows = [list(chain(*part[i : i + per_row])) for i in range(0, len(part), per_row)]
        path = folder / (f"{stem}.png" if count == 1 else f"{stem}_{number + 1}.png")
        contact_sheet(rows, title).save(path)
        yield path


def _title(resolved: ResolvedConfig, phase: str, mode: str, epoch: int) -> str:
    cfg = resolved.cfg
    text = f"{resolved.dataset!r}, {mode}"
    if phase == "eval":
        return f"{text}, eval_pipeline"
    seed = config_seed(cfg)
    executor = cfg.train_dataloader.get("transforms", "torchvision")
    return f"{text}, train_pipeline by {executor}, epoch {epoch}, seed {seed}"


def _table(keys: Sequence[Any], dataset: BaseImageDataset) -> str:
    """Which samples they are, in their order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["number", "index", "name", "draw_seed"])
    for number, key in enumerate(keys):
        index, seed = key if isinstance(key, Draw) else (key, "")
        writer.writerow([number, index, dataset.sample_name(index), seed])
    return text.getvalue()
