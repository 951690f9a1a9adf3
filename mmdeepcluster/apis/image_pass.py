"""One pass over images: rows into files, each process its own, nothing sent between them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from mmdeepcluster.apis.pass_folder import ASSIGNMENT, PassFolder, RowSpec
from mmdeepcluster.apis.row_files import DoneTiles, RowFile, dealt, runs
from mmdeepcluster.clustering import Assigner
from mmdeepcluster.clustering.row_share import ROW_TILE
from mmdeepcluster.datasets import BaseImageDataset, ImageView
from mmdeepcluster.engine import (
    ConfigError,
    FeatureSource,
    ResolvedConfig,
    eval_loader,
    from_main,
)
from mmdeepcluster.models import FeatureModel, PassProgress, check_finite, feature_rows, on_host

# Progress is put on the disk when that takes at most this part of the time.
_FLUSH_SHARE = 0.02
_LARGEST_HALF = float(np.finfo(np.float16).max)


class TileAssigner:
    """Clusters of rows that come one after the other, in the tiles in which trainings assign.

    Args:
        assigner: The rule.
        device: Where rows are compared.
        start: First row, a multiple of 1,024.
        stop: Row after the last one.
    """

    def __init__(self, assigner: Assigner, device: torch.device, start: int, stop: int) -> None:
        self.assigner = assigner
        self.device = device
        self.first = start
        self.stop = stop
        self._rows: list[Tensor] = []

    def add(self, features: Tensor) -> Iterator[tuple[int, NDArray[Any]]]:
        """Takes the next rows (n, D); gives first row and assignment of those tiles that are full.

        The last tile is full at ``stop``.
        """
        self._rows.append(features)
        end = self.first + sum(map(len, self._rows))
        full = end if end == self.stop else end // ROW_TILE * ROW_TILE
        if full <= self.first:
            return
        rows = torch.cat(self._rows)
        number = full - self.first
        found = self.assigner.assign(rows[:number], self.device)
        table = np.empty(number, ASSIGNMENT)
        for name in ASSIGNMENT.names or ():
            table[name] = getattr(found, name).cpu().numpy()
        yield self.first, table
        self._rows, self.first = [rows[number:]], full


class _Recorder:
    """Marks tiles as done once their rows are on the disk.

    Args:
        done: The marks.
        files: The files of the rows.
    """

    def __init__(self, done: DoneTiles, files: Mapping[str, RowFile]) -> None:
        self._done = done
        self._files = files
        self._tiles: list[int] = []
        self._next = 0
        self._flushed, self._cost = time.monotonic(), 0.0

    def begin(self, start: int) -> None:
        """A run of rows begins."""
        self._next = start // ROW_TILE

    def reached(self, row: int, last: bool) -> None:
        """All rows of the run before ``row`` are written; ``last`` if the run ends there."""
        end = -(-row // ROW_TILE) if last else row // ROW_TILE
        self._tiles.extend(range(self._next, end))
        self._next = max(end, self._next)
        due = time.monotonic() - self._flushed >= self._cost / _FLUSH_SHARE
        if self._tiles and due:
            self.flush()

    def flush(self) -> None:
        """Puts rows and then marks on the disk."""
        begin = time.monotonic()
        if self._tiles:
            for file in self._files.values():
                file.flush()
            self._done.mark(self._tiles)
            self._tiles = []
        self._flushed = time.monotonic()
        self._cost = self._flushed - begin


def run_pass(
    source: FeatureSource, loader: DataLoader[Any], folder: PassFolder, overwrite: bool
) -> dict[str, Any] | None:
    """Fills the files of a folder; collective.

    Each process writes the rows of whole batches of its own consecutive tiles; the bits do not
    depend on the number of processes, nor on interruptions.

    Args:
        source: The network, on its device.
        loader: What :func:`open_loader` returned.
        folder: Where rows go.
        overwrite: Whether results that are there may be replaced.

    Returns:
        ``num_images`` computed in this call, ``seconds`` and ``images_per_second``; None if the
        pass was complete already.

    Raises:
        ConfigError: If the folder cannot be used, on every process; if an image cannot be read or a
            feature is not finite. What was done is kept.
    """
    tiles = said_by_main(lambda: folder.begin(overwrite))
    if tiles is None:
        return None
    own = dealt(tiles, get_rank(), get_world_size())
    begin = time.monotonic()
    problem: str | None = None
    try:
        _write_tiles(source, loader, folder, own)
    except (OSError, ValueError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        # Others may have hours to go. They learn it at the end, a person now.
        print_log(f"process {get_rank()} stops: {problem}", "current", logging.ERROR)
    problems = all_gather_object(problem) if get_world_size() > 1 else [problem]
    for rank, text in enumerate(problems):
        if text is not None:
            folder.close()
            who = f"process {rank}: " if get_world_size() > 1 else ""
            raise ConfigError(f"{who}{text} (what is done is kept, the same command continues)")
    seconds = time.monotonic() - begin
    number = sum(stop - start for start, stop in runs(tiles, folder.num_rows))
    rate = number / max(seconds, 1e-9)
    return {"num_images": number, "seconds": seconds, "images_per_second": rate}


def finish_pass(folder: PassFolder, write: Callable[[], Mapping[str, Any]]) -> None:
    """Lets the main process end the pass as ``PassFolder.finish`` does; collective.

    Raises:
        ConfigError: If it cannot write, on every process.
    """
    said_by_main(lambda: folder.finish(write))


def open_loader(
    source: FeatureSource,
    dataset: BaseImageDataset,
    batch_size: int | None = None,
    num_workers: int | None = None,
) -> DataLoader[Any]:
    """Loader of all images through the evaluation pipeline; the config learns what is given here.

    Raises:
        ConfigError: If the config has no ``eval_pipeline``, or an image does not go through it.
    """
    cfg = source.cfg
    if not cfg.get("eval_pipeline"):
        raise ConfigError("the config has no eval_pipeline, which says how images are shown")
    options = dict(cfg.get("eval_dataloader") or {"batch_size": 64, "num_workers": 2})
    if batch_size is not None:
        options["batch_size"] = batch_size
    if num_workers is not None:
        options |= {"num_workers": num_workers}
    cfg.eval_dataloader = options
    try:
        return eval_loader(ResolvedConfig(cfg, dataset), dataset)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"eval_dataloader: {error}") from error


def layer_widths(model: FeatureModel, layers: Sequence[str], view: ImageView) -> dict[str, int]:
    """D of each layer for the images of a view, found by a blank one.

    Raises:
        ConfigError: For an unknown layer, naming those there are, or images that do not fit.
    """
    try:
        model.check_layers(layers)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        with torch.no_grad():
            found = model.extract(model.blank_inputs(view.image_shape), layers)
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"images of eval_pipeline do not fit the model: {' '.join(str(error).split())}"
        ) from error
    return {name: rows.shape[1] for name, rows in found.items()}


def pass_identity(source: FeatureSource, dataset: BaseImageDataset) -> dict[str, Any]:
    """What the rows of a pass depend on; collective, since files are looked at."""
    return {
        **source.identity(),
        "images": dataset.fingerprint(),
        "num_images": len(dataset),
        "pipeline": [dict(step) for step in source.cfg.eval_pipeline],
        # Sums of a batch of another size are rounded otherwise.
        "batch_size": source.cfg.eval_dataloader["batch_size"],
        "device": torch.device(get_device()).type,
    }


def _write_tiles(
    source: FeatureSource, loader: DataLoader[Any], folder: PassFolder, tiles: list[int]
) -> None:
    """Writes the rows of some tiles."""
    if not tiles:
        return
    files, done = folder.open_files(), DoneTiles(folder.done)
    recorder = _Recorder(done, files)
    device = torch.device(get_device())
    whose = " of the main process" if get_world_size() > 1 else ""
    number = sum(stop - start for start, stop in runs(tiles, folder.num_rows))
    progress = PassProgress(number, f"images{whose}")
    try:
        for start, stop in runs(tiles, folder.num_rows):
            recorder.begin(start)
            written = start
            for row in _write_run(source, loader, files, folder.files, device, start, stop):
                progress.add(row - written)
                written = row
                recorder.reached(row, row == stop)
    finally:
        # Also of a pass that is interrupted: the same command goes on from there.
        recorder.flush()
        for file in files.values():
            file.close()
        done.close()


def _write_run(
    source: FeatureSource,
    loader: DataLoader[Any],
    files: Mapping[str, RowFile],
    specs: Mapping[str, RowSpec],
    device: torch.device,
    start: int,
    stop: int,
) -> Iterator[int]:
    """Writes the rows [start, stop); says after each batch up to where they are written."""
    clustered = source.model.default_layer
    wanted = {spec.layer or clustered for spec in specs.values()}
    assigned = None
    if source.assigner is not None:
        assigned = TileAssigner(source.assigner, device, start, stop)
    for rows in on_host(feature_rows(source.model, loader, sorted(wanted), start, stop)):
        for layer, features in rows.features.items():
            check_finite(layer, features, rows.samples)
        for name, spec in specs.items():
            if spec.layer is not None:
                values = _converted(spec, rows.features[spec.layer])
                files[name].write(rows.first, values)
            elif assigned is not None:
                for first, table in assigned.add(rows.features[clustered]):
                    files[name].write(first, table)
        yield rows.first + len(rows.samples)


def _converted(spec: RowSpec, features: Tensor) -> NDArray[Any]:
    values: NDArray[Any] = features.cpu().numpy()
    if np.dtype(spec.dtype) == np.float16:
        largest = float(np.abs(values).max(initial=0.0))
        if largest > _LARGEST_HALF:
            raise ValueError(
                f"features of layer '{spec.layer}' reach {largest:.3g}, float16 ends at "
                f"{_LARGEST_HALF:.0f}: use --dtype float32"
            )
        return values.astype(np.float16)
    return values


def said_by_main(action: Callable[[], Any]) -> Any:
    """What an action of the main process returns, on every process; its errors too. Collective."""
    said: tuple[Any, str | None] = (None, None)
    if is_main_process():
        try:
            said = (action(), None)
        except ConfigError as error:
            said = (None, str(error))
        except OSError as error:
            said = (None, f"cannot write: {error}")
    found, problem = from_main(said)
    if problem is not None:
        raise ConfigError(problem)
    return found


def output_file(layer: str) -> str:
    """Name of the file of a named layer."""
    return f"features_{layer.replace('/', '_')}.npy"


def check_out(out: str | Path) -> Path:
    """The folder for results.

    Raises:
        ConfigError: If it is a file.
    """
    folder = Path(out).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {out} is a file, give a folder")
    return folder
