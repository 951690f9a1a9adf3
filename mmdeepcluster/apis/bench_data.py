"""The images of a benchmark as one network sees them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from numpy.typing import NDArray
from torch import Tensor

from mmdeepcluster.apis.feature_cache import cached_features, stage_shapes, view_of
from mmdeepcluster.datasets import BaseImageDataset, ImageFileDataset, ImageView
from mmdeepcluster.engine import ConfigError, build_dataset
from mmdeepcluster.evaluation import (
    VocLabels,
    choose_probe_points,
    read_voc_labels,
    voc_image_names,
)
from mmdeepcluster.models import FeatureModel

if TYPE_CHECKING:
    from mmdeepcluster.apis.benchmark import Benchmark


class BenchData:
    """Images, labels and cached features of a benchmark; read when they are asked for.

    Args:
        network: The network.
        cfg: Its config, whose evaluation pipeline is used unless the benchmark has one.
        benchmark: The benchmark.
        folder: Where features are kept.
        num_workers: Processes of the SVMs.

    Attributes:
        layers: Layers of one extraction; a protocol that comes later finds them all there.
    """

    def __init__(
        self,
        network: FeatureModel,
        cfg: Config,
        benchmark: Benchmark,
        folder: str | Path,
        num_workers: int = 1,
    ) -> None:
        self.network = network
        self.benchmark = benchmark
        self.folder = Path(folder)
        self.num_workers = num_workers
        self.layers: dict[str, tuple[str, ...]] = {}
        self._pipeline = benchmark.eval_pipeline or cfg.eval_pipeline
        self._views: dict[str, ImageView] = {}

    def view(self, part: str) -> ImageView:
        """Images of ``train``, ``test``, ``voc_train`` or ``voc_test``."""
        if part not in self._views:
            if part.startswith("voc_"):
                labels = self.voc[part]
                root = Path(self._voc("root")).expanduser()
                dataset: Any = ImageFileDataset(root, _names(labels, root))
            else:
                dataset = self._build(part)
            self._views[part] = view_of(dataset, self._pipeline)
        return self._views[part]

    def labels(self, part: str) -> Tensor:
        """Classes (N,) of ``train`` or ``test``.

        Raises:
            ConfigError: If there are none.
        """
        found = self.view(part).dataset.eval_labels
        if found is None:
            raise ConfigError(
                f"the {part} images have no labels, which this protocol needs: set {part}.labels="
                "'folder' for a folder of folders, or ask for 'label-free' alone"
            )
        return torch.from_numpy(np.asarray(found))

    def features(self, part: str, layers: Sequence[str]) -> dict[str, Tensor]:
        """Features (N, D) by layer."""
        wanted = tuple(dict.fromkeys((*self.layers.get(part, ()), *layers)))
        options = dict(self.benchmark.eval_dataloader)
        found = cached_features(self.network, self.view(part), wanted, self.folder / part, options)
        return {layer: found[layer] for layer in layers}

    @cached_property
    def probe_points(self) -> tuple[str, tuple[str, ...]]:
        """Name of the choice and the layers that are probed."""
        if self.benchmark.probe_layers is not None:
            return "custom", self.benchmark.probe_layers
        return choose_probe_points(stage_shapes(self.network, self.view("train")))

    @cached_property
    def voc(self) -> dict[str, VocLabels]:
        """Labels of the training and the test images of the classes that count."""
        root = self._voc("root")
        try:
            train = read_voc_labels(root, self._voc("train_split"))
            test = read_voc_labels(root, self._voc("test_split"))
        except (OSError, ValueError) as error:
            raise ConfigError(str(error)) from error
        least = (self.benchmark.voc or {}).get("min_images", 1)
        totals = {name: count + test.counts()[name] for name, count in train.counts().items()}
        kept = [name for name, count in totals.items() if count >= least]
        left_out = {name: count for name, count in totals.items() if count < least}
        if left_out:
            print_log(f"classes with fewer than {least} images are left out: {left_out}", "current")
        if not kept:
            raise ConfigError(f"no class has voc.min_images={least} images, there are {totals}")
        return {"voc_train": train.only(kept), "voc_test": test.only(kept)}

    def voc_features(self, part: str) -> NDArray[np.float32]:
        """Features (N, D) of the layer that the SVMs see."""
        layer = self.benchmark.layer
        found: NDArray[np.float32] = self.features(part, (layer,))[layer].numpy()
        return found

    def _build(self, part: str) -> BaseImageDataset:
        try:
            return build_dataset(getattr(self.benchmark, part))
        except ConfigError as error:
            # It names the keys of a training.
            text = str(error).replace("dataset.", f"{part}.").replace(" (or data_root)", "")
            raise ConfigError(f"{text} (--benchmark-options)") from error

    def _voc(self, key: str) -> Any:
        found = (self.benchmark.voc or {}).get(key)
        if found is None:
            raise ConfigError(f"voc.{key} is missing in the benchmark config")
        return found


def _names(labels: VocLabels, root: Path) -> list[str]:
    try:
        return voc_image_names(labels, root)
    except OSError as error:
        raise ConfigError(str(error)) from error
