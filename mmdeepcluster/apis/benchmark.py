"""What to measure on which images: the contents of a file under ``configs/benchmarks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdeepcluster.apis.protocols import PROTOCOLS
from mmdeepcluster.engine import ConfigError, did_you_mean, load_config, merge_options
from mmdeepcluster.evaluation import COST_LISTS, LOW_SHOT_PROTOCOLS, SAMPLES, SHOTS, pick

_VOC_KEYS = ("root", "train_split", "test_split", "min_images")
_FINETUNE_KEYS = ("epochs", "batch_size", "lr", "head_lr")


@dataclass(frozen=True)
class Benchmark:
    """Images and protocols.

    Attributes:
        data: What the images are called; it stands beside every number.
        protocols: Names in ``PROTOCOLS``, in order.
        train: Config of the data set with labels that classifiers are trained on.
        test: Config of the data set with labels that they are tested on.
        voc: For the SVM protocols: ``root`` of a folder in VOC's format, ``train_split``,
            ``test_split``, and ``min_images``, the fewest images of both splits that must show a
            class for it to count (default 1).
        eval_pipeline: Transforms. Defaults to None, those of the network's config.
        eval_dataloader: Options of the loader.
        layer: Layer for all protocols but the probes of several layers. Defaults to "backbone",
            the average of its last output over positions.
        probe_layers: Layers of the probes. Defaults to None, the probe points of the architecture.
        probe_epochs: Epochs of the probes, with the schedule squeezed. Defaults to None, as
            published.
        knn_k: Numbers of neighbours.
        num_clusters: Clusters of the k-means that is scored. Defaults to None, the number of
            classes; without labels 10.
        svm_cost_list: Name in ``COST_LISTS``.
        shots: Values of k for the low-shot SVM.
        low_shot_samples: Draws for each k.
        low_shot_cost: How its cost is picked, ``goyal`` or ``holdout``.
        low_shot_labels: Folder with published draws. Defaults to None, seeded ones.
        finetune: Settings that replace the published ones: ``epochs``, ``batch_size``, ``lr``,
            ``head_lr``.
        seed: Seed of everything that is drawn.
    """

    data: str
    protocols: tuple[str, ...]
    train: Mapping[str, Any] | None = None
    test: Mapping[str, Any] | None = None
    voc: Mapping[str, Any] | None = None
    eval_pipeline: Sequence[Mapping[str, Any]] | None = None
    eval_dataloader: Mapping[str, Any] = field(
        default_factory=lambda: {"batch_size": 128, "num_workers": 0}
    )
    layer: str = "backbone"
    probe_layers: tuple[str, ...] | None = None
    probe_epochs: int | None = None
    knn_k: tuple[int, ...] = (20, 200)
    num_clusters: int | None = None
    svm_cost_list: str = "openselfsup"
    shots: tuple[int, ...] = SHOTS
    low_shot_samples: int = SAMPLES
    low_shot_cost: str = "goyal"
    low_shot_labels: str | None = None
    finetune: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.protocols:
            raise ConfigError(f"protocols is empty; choices: {', '.join(PROTOCOLS)}")
        try:
            for name in self.protocols:
                pick(PROTOCOLS, name, "protocol")
            pick(COST_LISTS, self.svm_cost_list, "svm_cost_list")
            pick(dict.fromkeys(LOW_SHOT_PROTOCOLS), self.low_shot_cost, "low_shot_cost")
        except ValueError as error:
            raise ConfigError(str(error)) from error
        _check_keys("voc", self.voc or {}, _VOC_KEYS)
        _check_keys("finetune", self.finetune, _FINETUNE_KEYS)
        for name in self.protocols:
            for needed in PROTOCOLS[name].needs:
                if getattr(self, needed) is None:
                    raise ConfigError(f"protocol {name!r} needs {needed!r} in the benchmark config")


def load_benchmark(
    config: str | Path | Config, options: Mapping[str, Any] | None = None
) -> Benchmark:
    """Reads a benchmark config.

    Args:
        config: File or config.
        options: Settings to change, with dotted keys.

    Raises:
        ConfigError: If it cannot be read, a key is unknown or missing, or a protocol is unknown.
    """
    cfg = load_config(config)
    merge_options(cfg, options or {})
    values = {key: _plain(value) for key, value in cfg.items() if not key.startswith("_")}
    values.pop("default_scope", None)
    known = [item.name for item in fields(Benchmark)]
    _check_keys("benchmark", values, known)
    lacking = [name for name in ("data", "protocols") if name not in values]
    if lacking:
        raise ConfigError(f"a benchmark config needs {' and '.join(lacking)}")
    return Benchmark(**values)


def _check_keys(name: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in values:
        if key not in known:
            raise ConfigError(f"{name}.{key}: no such key, {did_you_mean(key, known)}")


def _plain(value: Any) -> Any:
    """MMEngine's containers as Python's; lists of plain values as tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    return value
