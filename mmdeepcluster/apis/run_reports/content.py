"""What the run report shows, gathered from what a training left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmdeepcluster.apis.run_reports.clusters import (
    ClusterTable,
    cluster_table,
    confusion,
    default_images_per_cluster,
    follow_ids,
)
from mmdeepcluster.apis.run_reports.files import RunFiles, SampleRows, labels_of_checkpoint
from mmdeepcluster.apis.run_reports.images import (
    FeatureMap,
    feature_map,
    link_base,
    open_run_images,
    thumbnails,
)
from mmdeepcluster.apis.run_reports.summary import figure_rows, run_facts, run_warnings
from mmdeepcluster.apis.run_reports.values import (
    class_numbers,
    on_grid,
    packed_names,
    packed_sprites,
    packed_table,
)
from mmdeepcluster.datasets import BaseImageDataset
from mmdeepcluster.engine import ConfigError, sample_chunks
from mmdeepcluster.visualization.curve_panels import curve_panels
from mmdeepcluster.visualization.packed import packed
from mmdeepcluster.visualization.report_page import ReportContent
from mmdeepcluster.visualization.sprites import Sprites

# Images of the map that no sheet shows are looked at in passing.
_MAP_THUMB_SHARE = 0.625


class ReportOptions(NamedTuple):
    """What :func:`write_report` was asked for, checked."""

    with_map: bool
    method: str
    map_images: int
    images_per_cluster: int | None
    thumb_size: int
    relative_links: bool
    seed: int


class ReportGatherer:
    """Collects what the page shows, and the reasons for what it does not."""

    def __init__(
        self,
        run: RunFiles,
        page: Path,
        options: ReportOptions,
        dataset: BaseImageDataset | None,
    ) -> None:
        self.run, self.page, self.options = run, page, options
        self.missing = {name: text for name, text in run.missing.items() if name == "figures"}
        self.notes: dict[str, list[str]] = {}
        self.dataset: BaseImageDataset | None = None
        self._given = dataset

    def content(self) -> ReportContent:
        """Everything, in the order in which one part needs the other."""
        run = self.run
        rows = self._rows()
        values: dict[str, Any] = {
            "num_samples": 0,
            "num_clusters": 0,
            "clusters": None,
            "distances": None,
            "classes": None,
            "class_names": [],
            "names": None,
            "named": None,
            "name_start": "",
            "link_base": None,
            "table": None,
            "stable_ids": None,
            "since": None,
            "epochs": [],
            "map": None,
            "neighbors": None,
            "confusion": None,
            "thumbs": None,
            "map_thumbs": None,
        }
        sprites: tuple[Sprites | None, Sprites | None] = (None, None)
        if rows is None:
            for part in ("clusters", "epochs", "map", "neighbors", "classes"):
                self.missing[part] = "no clusters are known"
        else:
            sprites = self._fill(values, rows)
        number = None if run.cfg is None else run.cfg.model.get("num_clusters")
        size = None if run.cfg is None else run.cfg.model.get("num_samples")
        return ReportContent(
            title=run.name,
            facts=run_facts(run),
            figures=figure_rows(run),
            warnings=run_warnings(run),
            config=None if run.cfg is None else run.cfg.pretty_text,
            panels=curve_panels(run.scalars, number, size),
            values=values,
            thumbs=sprites[0],
            map_thumbs=sprites[1],
            notes=self.notes,
            missing=self.missing,
        )

    def _note(self, part: str, text: str) -> None:
        self.notes.setdefault(part, []).append(text[0].upper() + text[1:] + ".")

    def _rows(self) -> SampleRows | None:
        """One row per image: of ``samples.csv``, else of the newest labels that there are."""
        run = self.run
        labels = None
        if run.samples is None:
            labels, source = self._newest_labels()
            if labels is None:
                self._note("clusters", f"{run.missing['samples']}, and {source}")
                return None
            self._note(
                "clusters",
                f"{run.missing['samples']}; clusters are {source}, distances to centroids are not "
                "known, and sheets show images drawn at random",
            )
        number = len(labels) if labels is not None else len(run.samples.names)  # type: ignore[union-attr]
        try:
            self.dataset = self._given or open_run_images(run, number)
        except ConfigError as error:
            self._note("clusters", f"the images could not be opened, so there are none: {error}")
        if run.samples is not None:
            return run.samples
        assert labels is not None
        return self._rows_of_dataset(labels)

    def _newest_labels(self) -> tuple[NDArray[np.int64] | None, str]:
        run = self.run
        if run.checkpoint is not None:
            labels = labels_of_checkpoint(run.checkpoint)
            if labels is not None:
                return labels, f"the labels of {run.checkpoint.name}"
        if run.epochs:
            epoch = max(run.epochs)
            return run.epochs[epoch], f"those of labels_epoch_{epoch}.npy"
        return None, run.missing.get("checkpoint", "its checkpoint has no clusters yet")

    def _rows_of_dataset(self, labels: NDArray[np.int64]) -> SampleRows:
        """Names and classes of the images themselves, where these are there."""
        dataset = self.dataset
        if dataset is None:
            return SampleRows([], None, labels)
        names: list[str] = []
        known: list[str] = []
        for _, _, part, classes in sample_chunks(dataset, 8192):
            names += part
            known += classes
        return SampleRows(names, known if any(known) else None, labels)

    def _fill(
        self, values: dict[str, Any], rows: SampleRows
    ) -> tuple[Sprites | None, Sprites | None]:
        """Adds all that is said of images and clusters; returns the sprites of sheets and map."""
        configured = None if self.run.cfg is None else self.run.cfg.model.get("num_clusters")
        stale = [labels for labels in self.run.epochs.values() if len(labels) != len(rows.clusters)]
        epochs = {} if stale else self.run.epochs
        if stale:
            self._note("epochs", "labels_epoch_*.npy are of another number of images")
        highest = max(int(labels.max()) for labels in (rows.clusters, *epochs.values()))
        number = max(highest + 1, configured if isinstance(configured, int) else 0)
        classes, class_names = class_numbers(rows.labels)
        per_cluster = self.options.images_per_cluster or default_images_per_cluster(number)
        table = cluster_table(rows.clusters, rows.distances, classes, number, per_cluster)
        values |= {
            "num_samples": len(rows.clusters),
            "num_clusters": number,
            "clusters": packed(rows.clusters),
            "distances": None if rows.distances is None else packed(rows.distances),
            "classes": None if classes is None else packed(classes),
            "class_names": class_names,
            "table": packed_table(table),
        }
        self._fill_epochs(values, rows, epochs, number)
        self._fill_classes(values, rows, classes, len(class_names), number)
        found = self._fill_map(values)
        shown = table.sheets[table.sheets >= 0]
        if found is not None:
            shown = np.concatenate([shown, found.samples])
        values |= packed_names(rows.names, np.unique(shown))
        if values["named"] is not None:
            self._note(
                "clusters",
                f"of {len(rows.names):,} images the page knows the names of the "
                f"{len(np.unique(shown)):,} that it shows; samples.csv has all",
            )
        return self._fill_pictures(values, table, found)

    def _fill_epochs(
        self,
        values: dict[str, Any],
        rows: SampleRows,
        epochs: dict[int, NDArray[np.int64]],
        number: int,
    ) -> None:
        """Stable ids through the epochs, up to the clusters that the page shows."""
        if "epochs" in self.run.missing:
            self._note("epochs", self.run.missing["epochs"])
        names = [f"epoch {epoch}" for epoch in epochs]
        clusterings = list(epochs.values())
        last = "the end" if self.run.samples is not None else "the checkpoint"
        banks = rows.bank_labels
        if banks is not None and clusterings and not np.array_equal(banks, clusterings[-1]):
            self._note(
                "clusters",
                f"samples.csv is not of {names[-1]}, the newest labels: an earlier end of this "
                "training wrote it",
            )
        if not clusterings or not np.array_equal(rows.clusters, clusterings[-1]):
            names.append(last)
            clusterings.append(rows.clusters)
        if len(clusterings) < 2:
            self.missing["epochs"] = (
                f"there is one clustering alone ({names[0]}); "
                "default_hooks.cluster_metrics.save_labels_interval says how often labels are saved"
            )
            return
        if self.run.num_label_files > len(epochs):
            self._note("epochs", f"{len(epochs)} of {self.run.num_label_files} saved epochs")
        ids = follow_ids(clusterings, number)
        since = np.full(number, len(ids) - 1)
        for position in range(len(ids) - 1, -1, -1):
            since[np.isin(ids[-1], ids[position])] = position
        values["stable_ids"], values["since"] = packed(ids[-1]), packed(since)
        values["epochs"] = [
            {"name": name, "labels": packed(labels), "ids": packed(one)}
            for name, labels, one in zip(names, clusterings, ids, strict=True)
        ]

    def _fill_classes(
        self,
        values: dict[str, Any],
        rows: SampleRows,
        classes: NDArray[np.int64] | None,
        num_classes: int,
        number: int,
    ) -> None:
        if classes is None:
            self.missing["classes"] = "no classes of the images are known"
            return
        found = confusion(rows.clusters, classes, number, num_classes)
        if len(found.rows) < len(np.unique(rows.clusters)) or len(found.columns) < num_classes:
            self._note(
                "classes",
                f"the largest {len(found.rows)} clusters and {len(found.columns)} classes",
            )
        values["confusion"] = {
            "rows": packed(found.rows),
            "columns": packed(found.columns),
            "table": packed(found.table),
        }

    def _fill_map(self, values: dict[str, Any]) -> FeatureMap | None:
        run, options = self.run, self.options
        try:
            if not options.with_map:
                raise ConfigError("left out by --no-map")
            if self.dataset is None or run.cfg is None:
                raise ConfigError("it needs the images")
            if run.checkpoint is None:
                raise ConfigError(run.missing["checkpoint"])
            found = feature_map(
                run.cfg,
                run.checkpoint,
                self.dataset,
                options.method,
                options.map_images,
                options.seed,
            )
        except ConfigError as error:
            self.missing["map"] = self.missing["neighbors"] = str(error)
            return None
        number, total = len(found.samples), len(self.dataset)
        subset = f"all {number:,}" if number == total else f"{number:,} of {total:,}"
        method = {"tsne": "t-SNE", "umap": "UMAP"}[options.method]
        values["map"] = {
            "samples": packed(found.samples),
            "positions": packed(on_grid(found.positions)),
            "text": f"{method} of {subset} images, by {run.checkpoint.name}: {found.space}.",
        }
        values["neighbors"] = {
            "queries": packed(found.queries),
            "neighbors": packed(found.neighbors),
            "cosines": packed(found.cosines),
        }
        return found

    def _fill_pictures(
        self, values: dict[str, Any], table: ClusterTable, found: FeatureMap | None
    ) -> tuple[Sprites | None, Sprites | None]:
        """Thumbnails: first those that lie side by side on a sheet, so that few are decoded."""
        dataset = self.dataset
        if dataset is None:
            return None, None
        wanted = table.sheets[table.sheets >= 0]
        if found is not None:
            wanted = np.concatenate([wanted, found.queries, found.neighbors.ravel()])
        shown = wanted[np.sort(np.unique(wanted, return_index=True)[1])]
        size = self.options.thumb_size
        try:
            sheets = thumbnails(dataset, shown.tolist(), size)
            values["thumbs"] = packed_sprites(sheets, shown)
            values["link_base"] = link_base(dataset, self.page, self.options.relative_links)
            if found is None:
                return sheets, None
            others = np.setdiff1d(found.samples, shown)
            rest = thumbnails(dataset, others.tolist(), max(8, round(_MAP_THUMB_SHARE * size)))
            values["map_thumbs"] = packed_sprites(rest, others)
        except ConfigError as error:
            self._note("clusters", f"the images cannot be shown: {error}")
            return None, None
        return sheets, rest
