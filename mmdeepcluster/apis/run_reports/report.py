"""The run report: a work dir as one page to look at."""

from __future__ import annotations

import time
from pathlib import Path

from mmengine.logging import print_log

from mmdeepcluster.apis.run_reports.content import ReportGatherer, ReportOptions
from mmdeepcluster.apis.run_reports.files import read_run
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import ConfigError, write_atomically
from mmdeepcluster.visualization import check_embedding
from mmdeepcluster.visualization.report_page import report_page

REPORT_FILE = "report.html"
DEFAULT_MAP_IMAGES, DEFAULT_THUMB_SIZE = 5000, 64


def write_report(
    work_dir: str | Path,
    out: str | Path | None = None,
    *,
    with_map: bool = True,
    method: str = "tsne",
    map_images: int = DEFAULT_MAP_IMAGES,
    images_per_cluster: int | None = None,
    thumb_size: int = DEFAULT_THUMB_SIZE,
    relative_links: bool = False,
    seed: int = 0,
    dataset: BaseImageDataset | None = None,
) -> Path:
    """Writes one self-contained HTML page of a training (R29, R54, R55, R69).

    Curves of all starts, figures, clusters with their nearest, median and farthest images, two
    epochs side by side, a map of the features, nearest neighbours, and clusters against classes.
    What a run has not left is named on the page. Not collective: one process writes.

    Args:
        work_dir: Work dir of a training, ended or not.
        out: The file. Defaults to ``report.html`` in the work dir.
        with_map: Whether images go through the network of the last checkpoint for the map and the
            neighbours.
        method: ``tsne``, or ``umap`` where umap-learn is installed.
        map_images: Of more images a seeded subset of this many is mapped.
        images_per_cluster: Images of a cluster's sheet, at least 3. Defaults to 12, fewer for more
            than 1,666 clusters.
        thumb_size: Width and height of thumbnails in pixels, 8 to 256; smaller images are kept as
            they are.
        relative_links: Links lead to the files from the folder of the page. Defaults to False,
            absolute.
        seed: Seed of the subset, the map and the queries.
        dataset: The images of the run where they are open already.

    Returns:
        The file.

    Raises:
        ConfigError: If there is no training in ``work_dir``, a file there is damaged, or an option
            cannot be used.
    """
    options = ReportOptions(
        with_map, method, map_images, images_per_cluster, thumb_size, relative_links, seed
    )
    _check(options)
    begin = time.monotonic()
    run = read_run(work_dir)
    path = Path(out) if out is not None else run.folder / REPORT_FILE
    if path.is_dir():
        raise ConfigError(f"--out {path} is a folder, give a file such as {path / REPORT_FILE}")
    text = report_page(ReportGatherer(run, path, options, dataset).content())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as error:
        raise ConfigError(f"--out {path}: {error}") from error
    print_log(
        f"run report: {path} ({path.stat().st_size / 1e6:.1f} MB, "
        f"{time.monotonic() - begin:.1f} s)",
        "current",
    )
    return path


def _check(options: ReportOptions) -> None:
    """Refuses options before anything is read."""
    if options.with_map:
        try:
            check_embedding(options.method)
        except ValueError as error:
            raise ConfigError(f"--map-method: {error}") from error
    if options.map_images < 4:
        raise ConfigError(
            f"--map-images {options.map_images}: a map needs at least 4 images; --no-map leaves it "
            "out"
        )
    if options.images_per_cluster is not None and not 3 <= options.images_per_cluster <= 100:
        raise ConfigError(
            f"--images-per-cluster must be between 3 and 100, got {options.images_per_cluster}"
        )
    if not 8 <= options.thumb_size <= 256:
        raise ConfigError(f"--thumb-size must be between 8 and 256, got {options.thumb_size}")
