"""A map of what a layer sees, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from numpy.typing import NDArray

from mmdeepcluster.apis.untrained import untrained_algorithm
from mmdeepcluster.engine import (
    ConfigError,
    ResolvedConfig,
    config_seed,
    derive_seed,
    eval_loader,
    load_algorithm,
    resolve_config,
    share_cores,
)
from mmdeepcluster.models import BaseAlgorithm, extract
from mmdeepcluster.visualization import MIN_POINTS, check_embedding, embed_2d, scatter

DEFAULT_MAX_SAMPLES = 2000
_UNKNOWN = -1


def embed_features(
    config: str | Path | Config,
    *,
    checkpoint: str | Path | None = None,
    layer: str | None = None,
    method: str = "tsne",
    max_samples: int = DEFAULT_MAX_SAMPLES,
    seed: int = 0,
    out: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Maps the activations of a layer into a plane, by t-SNE or UMAP (R33).

    Images of the config's data set go through its evaluation pipeline and the network, in
    evaluation mode; the same call gives the same numbers.

    Args:
        config: Config file or config of a training.
        checkpoint: Checkpoint of that training. Defaults to None, the network that the training
            starts from, of seed ``randomness.seed``.
        layer: Layer as in ``evaluation.probe_layer``. Defaults to None: every position of the
            last convolution (``conv_5.flat``) where the network numbers its convolutions,
            otherwise ``backbone``, the stage that is clustered, averaged over positions.
        method: ``tsne``, or ``umap`` where umap-learn is installed; see
            :func:`~mmdeepcluster.visualization.embed_2d` for what few images change.
        max_samples: Of more images a seeded subset of this many is mapped. Defaults to 2000.
        seed: Seed of the subset and of the map. Defaults to 0.
        out: Folder for ``embedding.npz`` (the four arrays below) and ``embedding.png``, coloured
            by known class, else by the clusters of the checkpoint. Defaults to None, nothing is
            written.
        options: What ``--cfg-options`` would set, with dotted keys.

    Returns:
        ``layer``, and ``positions`` fp32 (n, 2), ``sample_idx``, ``labels`` (known classes) and
        ``clusters`` (of the checkpoint's training), int64 (n,), -1 where there are none.

    Raises:
        ConfigError: If the config, the data, the checkpoint, the layer or the method cannot be
            used, or ``max_samples`` is less than 4.
    """
    try:
        check_embedding(method)
    except ValueError as error:
        raise ConfigError(f"--method: {error}") from error
    resolved = resolve_config(config, options)
    sample_idx = _choose(len(resolved.dataset), max_samples, seed)
    share_cores()
    algorithm = _network(resolved, checkpoint)
    layer = layer or _last_convolution(algorithm.backbone.stage_names)
    features = _features(resolved, algorithm, layer, sample_idx)
    try:
        positions = embed_2d(features, method, derive_seed(seed, "embedding"))
    except ValueError as error:
        raise ConfigError(f"layer {layer!r}: {error}") from error
    clusters = algorithm.labels().numpy() if algorithm.initialized else None
    arrays: dict[str, NDArray[Any]] = {
        "positions": positions,
        "sample_idx": sample_idx,
        "labels": _of_samples(resolved.dataset.eval_labels, sample_idx),
        "clusters": _of_samples(clusters, sample_idx),
    }
    if out is not None:
        state = "untrained" if checkpoint is None else Path(checkpoint).name
        title = f"{method} of {layer}, {type(algorithm.backbone).__name__} ({state})"
        _write(Path(out), arrays, title, resolved.dataset.class_names)
    return {"layer": layer, **arrays}


def _choose(number: int, max_samples: int, seed: int) -> NDArray[np.int64]:
    """Ascending samples: all, or a seeded subset."""
    if max_samples < MIN_POINTS:
        raise ConfigError(f"--max-samples {max_samples}: a map needs at least {MIN_POINTS} images")
    generator = np.random.default_rng(derive_seed(seed, "embedding subset"))
    chosen = generator.choice(number, min(number, max_samples), replace=False)
    return np.sort(chosen).astype(np.int64)


def _network(resolved: ResolvedConfig, checkpoint: str | Path | None) -> BaseAlgorithm:
    if checkpoint is not None:
        return load_algorithm(resolved, checkpoint).to(get_device())
    return untrained_algorithm(resolved, config_seed(resolved.cfg))


def _last_convolution(stage_names: Sequence[str]) -> str:
    """The layer that is mapped unless another is named."""
    convolutions = [name for name in stage_names if name.startswith("conv_")]
    return f"{convolutions[-1]}.flat" if convolutions else "backbone"


def _features(
    resolved: ResolvedConfig, algorithm: BaseAlgorithm, layer: str, sample_idx: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Activations (n, D) of the samples."""
    loader = eval_loader(resolved, resolved.dataset, sample_idx.tolist())
    try:
        features: NDArray[np.float32] = extract(algorithm, loader, (layer,))[layer].numpy()
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"layer {layer!r}: {' '.join(str(error).split())}") from error
    return features


def _of_samples(
    values: NDArray[np.int64] | None, sample_idx: NDArray[np.int64]
) -> NDArray[np.int64]:
    if values is None:
        return np.full(len(sample_idx), _UNKNOWN)
    return values[sample_idx]


def _write(
    folder: Path,
    arrays: Mapping[str, NDArray[Any]],
    title: str,
    class_names: Sequence[str] | None,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "embedding.npz"
    np.savez(path, allow_pickle=False, **arrays)
    labelled = bool((arrays["labels"] != _UNKNOWN).any())
    groups = arrays["labels"] if labelled else arrays["clusters"]
    names = class_names if labelled else None
    figure = path.with_suffix(".png")
    drawn = scatter(figure, arrays["positions"], groups, title, names)
    print_log(
        f"written: {path}" + (f", {figure}" if drawn else "; no figure without matplotlib"),
        "current",
    )
