"""A trained clustering in one file: images in, clusters out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mmdeepcluster.apis.image_pass import TileAssigner
from mmdeepcluster.apis.pass_folder import ASSIGNMENT
from mmdeepcluster.clustering import Assigner
from mmdeepcluster.datasets import ImageView, build_eval_loader, given_images
from mmdeepcluster.engine import ConfigError, read_checkpoint, write_atomically
from mmdeepcluster.models import FeatureModel, check_finite, feature_rows, on_host
from mmdeepcluster.registry import SCOPE

FORMAT = "mmdeepcluster.cluster_model"
FORMAT_VERSION = 1


class ClusterAssignment(NamedTuple):
    """Clusters of N images.

    Attributes:
        cluster: Number of the cluster, int64 (N,).
        distance: Distance to its centroid, fp32 (N,).
        margin: How much farther the second nearest centroid is, fp32 (N,).
        stable_id: Id of the cluster that outlives a training, int64 (N,).
    """

    cluster: NDArray[np.int64]
    distance: NDArray[np.float32]
    margin: NDArray[np.float32]
    stable_id: NDArray[np.int64]


class ClusterModel:
    """Backbone, neck, preprocessing and the rule of the clusters, as ``export_clusters`` saves it.

    The rule is that of the training: images of the training set get the clusters that its
    ``samples.csv`` says. ``images`` is a path of a folder, of a list file or of one image; a list
    of paths, of PIL images or of uint8 arrays; or a uint8 array (N, H, W[, 3]).

    Args:
        model: The network.
        assigner: The rule of the clusters.
        metadata: What the file says of itself, in plain values.
        counts: Images of each cluster when it was saved, int64 (K,).
        stable_ids: Stable id of each cluster, int64 (K,).
        device: Where it computes. Defaults to a GPU if there is one.
        batch_size: Images at once. Defaults to that of the training's evaluation.
        num_workers: Data workers. Defaults to 0, none.
    """

    def __init__(
        self,
        model: FeatureModel,
        assigner: Assigner,
        metadata: dict[str, Any],
        counts: NDArray[np.int64],
        stable_ids: NDArray[np.int64],
        *,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
        num_workers: int = 0,
    ) -> None:
        self.device = torch.device(get_device() if device is None else device)
        self.model = model.eval().to(self.device)
        self.assigner = assigner
        self.metadata = metadata
        self.counts = counts
        self.stable_ids = stable_ids
        self.batch_size = metadata["batch_size"] if batch_size is None else batch_size
        self.num_workers = num_workers

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str | torch.device | None = None,
        *,
        batch_size: int | None = None,
        num_workers: int = 0,
    ) -> ClusterModel:
        """Reads a file that ``export_clusters`` or ``export_model`` wrote.

        Nothing in it is executed; modules that the training imported (``custom_imports``) must be
        installed.

        Raises:
            ConfigError: If it is no such file, or of a newer version.
        """
        saved = read_checkpoint(path)
        if saved.get("format") != FORMAT:
            raise ConfigError(
                f"{path} is no cluster model: make one of a checkpoint by tools/export_clusters.py"
            )
        if saved["version"] > FORMAT_VERSION:
            raise ConfigError(
                f"{path} has version {saved['version']}, this package reads up to "
                f"{FORMAT_VERSION}: install a newer one"
            )
        metadata = json.loads(saved["metadata"])
        try:
            if metadata.get("custom_imports"):
                import_modules_from_strings(**metadata["custom_imports"])
            init_default_scope(SCOPE)
            model = FeatureModel(**metadata["model"])
            model.load_state_dict(saved["state_dict"], strict=True)
            assigner = Assigner.from_state_dict(saved["assigner"])
        except (ImportError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"{path} cannot be used: {' '.join(str(error).split())}") from error
        return cls(
            model,
            assigner,
            metadata,
            saved["counts"].numpy(),
            saved["stable_ids"].numpy(),
            device=device,
            batch_size=batch_size,
            num_workers=num_workers,
        )

    def save(self, path: str | Path) -> None:
        """Writes the file; complete or not at all.

        Raises:
            OSError: If it cannot be written.
        """
        data = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "metadata": json.dumps(self.metadata),
            "state_dict": {k: v.cpu() for k, v in self.model.state_dict().items()},
            "assigner": self.assigner.state_dict(),
            "counts": torch.from_numpy(np.ascontiguousarray(self.counts)),
            "stable_ids": torch.from_numpy(np.ascontiguousarray(self.stable_ids)),
        }
        write_atomically(Path(path), data)

    @property
    def num_clusters(self) -> int:
        """K."""
        return self.assigner.num_clusters

    @property
    def feature_dim(self) -> int:
        """D, the width of what :meth:`transform` returns."""
        return self.model.feature_dim

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Cluster of each image, int64 (N,)."""
        return self.assign(images).cluster

    def transform(self, images: Any) -> NDArray[np.float32]:
        """Features of each image, before the transform of the clustering, fp32 (N, D).

        Raises:
            ValueError: If there is no image, or it does not fit the network.
            TypeError: If ``images`` are none of the things that they can be.
            OSError: If one cannot be read.
        """
        loader, number = self._loader(images)
        layer = self.model.default_layer
        features = np.empty((number, self.feature_dim), np.float32)
        for rows in on_host(feature_rows(self.model, loader, (layer,), 0, number)):
            stop = rows.first + len(rows.samples)
            features[rows.first : stop] = rows.features[layer].cpu().numpy()
        return features

    def assign(self, images: Any) -> ClusterAssignment:
        """Cluster, distance, margin and stable id of each image; errors as :meth:`transform`."""
        loader, number = self._loader(images)
        layer = self.model.default_layer
        table = np.empty(number, ASSIGNMENT)
        tiles = TileAssigner(self.assigner, self.device, 0, number)
        for rows in on_host(feature_rows(self.model, loader, (layer,), 0, number)):
            check_finite(layer, rows.features[layer], rows.samples)
            for first, part in tiles.add(rows.features[layer]):
                table[first : first + len(part)] = part
        cluster, distance, margin = (
            np.ascontiguousarray(table[name]) for name in ("cluster", "distance", "margin")
        )
        return ClusterAssignment(cluster, distance, margin, self.stable_ids[cluster])

    def _loader(self, images: Any) -> tuple[DataLoader[Any], int]:
        dataset = given_images(images)
        view = ImageView(dataset, self.metadata["eval_pipeline"], name="eval_pipeline")
        loader = build_eval_loader(
            view,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=False,
        )
        return loader, len(dataset)
