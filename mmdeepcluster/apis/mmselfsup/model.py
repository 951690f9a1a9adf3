"""Model and clustering of an mmselfsup config."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config

from mmdeepcluster.apis.mmselfsup.source import Source
from mmdeepcluster.engine import ConfigError

_NECKS = ("ODCNeck", "NonLinearNeckV0", "NonLinearNeck")


def convert_model(source: Source, cfg: Config) -> None:
    """Writes backbone, neck, head, memory and clustering.

    Raises:
        ConfigError: If a component is none that there is a counterpart of.
    """
    source.take("model.type")
    if source.take("model.pretrained") is not None:
        source.left["model.pretrained"] = "give the file by load_from"
    _backbone(source, cfg)
    _neck(source, cfg)
    _head(source, cfg)
    if cfg.model.type == "ODC":
        _memory(source, cfg)
    _clustering(source, cfg)


def _backbone(source: Source, cfg: Config) -> None:
    kind = str(source.take("model.backbone.type"))
    if kind.split(".")[-1] != "ResNet":
        raise ConfigError(f"model.backbone.type={kind!r}: only ResNet can be converted")
    backbone: dict[str, Any] = {"type": "ResNet", "depth": source.take("model.backbone.depth", 50)}
    channels = source.take("model.backbone.in_channels", 3)
    sobel = bool(source.take("model.with_sobel", False)) or channels == 2
    backbone |= {"in_channels": 3 if sobel else channels}
    if sobel:
        backbone["sobel"] = True
    # mmselfsup counts the stem as stage 0, mmcls does not
    last = 3 if kind.startswith("mmcls.") else 4
    stages = list(source.take("model.backbone.out_indices", [last]))
    if stages != [last]:
        backbone["out_indices"] = [stage + 4 - last for stage in stages]
    if source.take("model.backbone.zero_init_residual", False):
        backbone["zero_init_residual"] = True
    norm = dict(source.take("model.backbone.norm_cfg", {"type": "BN"}))
    cfg.sync_bn = "torch" if norm.get("type") == "SyncBN" else None
    norm = {k: v for k, v in norm.items() if k not in ("requires_grad",)}
    if norm.get("type") == "SyncBN":
        norm["type"] = "BN"
    if norm != {"type": "BN"}:
        backbone["norm_cfg"] = norm
    style = source.take("model.backbone.style", "pytorch")
    if style != "pytorch":
        raise ConfigError(f"model.backbone.style={style!r}: ours has the strides of 'pytorch'")
    cfg.model.backbone = backbone


def _neck(source: Source, cfg: Config) -> None:
    kind = source.take("model.neck.type")
    source.take("model.neck.in_channels")  # of the backbone
    if kind in ("AvgPool2dNeck", "AvgPoolNeck", "GlobalAveragePooling"):
        if source.take("model.neck.output_size", 1) != 1:
            raise ConfigError("model.neck.output_size: ours averages over the whole map, as 1 does")
        cfg.model.neck = {"type": "AveragePoolNeck"}
        return
    if kind not in _NECKS:
        raise ConfigError(f"model.neck.type={kind!r}: only ODCNeck and AvgPool2dNeck are known")
    if not source.take("model.neck.with_avg_pool", True):
        raise ConfigError("model.neck.with_avg_pool=False: ours always averages over the map")
    neck = dict(cfg.model.neck)
    neck["hidden_channels"] = source.take("model.neck.hid_channels", neck["hidden_channels"])
    neck["out_channels"] = source.take("model.neck.out_channels", neck["out_channels"])
    norm = source.take("model.neck.norm_cfg")
    if norm is not None:
        neck["norm_cfg"] = {**norm, "type": "BN1d"}
    if source.take("model.neck.sync_bn", False):
        cfg.sync_bn = "torch"
    cfg.model.neck = neck


def _head(source: Source, cfg: Config) -> None:
    kind = source.take("model.head.type")
    if kind not in ("ClsHead", "mmcls.LinearClsHead"):
        raise ConfigError(f"model.head.type={kind!r}: only ClsHead can be converted")
    source.take("model.head.in_channels")  # of the neck
    source.take("model.head.with_avg_pool")  # the neck has done it
    source.take("model.head.loss.type")  # re-weighted cross-entropy in both methods
    cfg.model.num_clusters = source.take("model.head.num_classes")
    if cfg.model.num_clusters is None:
        raise ConfigError("model.head.num_classes is missing")


def _memory(source: Source, cfg: Config) -> None:
    source.take("model.memory_bank.type")
    source.take("model.memory_bank.length")  # of the data set
    source.take("model.memory_bank.feat_dim")  # of the neck
    _same_number(source, "model.memory_bank.num_classes", cfg)
    memory = cfg.model.memory
    memory.momentum = source.take("model.memory_bank.momentum", memory.momentum)
    memory.min_cluster_size = source.take("model.memory_bank.min_cluster", memory.min_cluster_size)
    hook = source.index_of("custom_hooks", "ODCHook")
    if hook is None:
        return
    source.take(f"{hook}.type")
    memory.centroids_update_interval = source.take(
        f"{hook}.centroids_update_interval", memory.centroids_update_interval
    )
    if source.take(f"{hook}.deal_with_small_clusters_interval", 1) != 1:
        source.left[f"{hook}.deal_with_small_clusters_interval"] = "ours looks in every iteration"
    interval = source.take(f"{hook}.evaluate_interval")
    if interval is not None:
        cfg.default_hooks.cluster_metrics.interval = interval
    power = source.take(f"{hook}.reweight_pow", 0.5)
    cfg.model.loss.power = power if source.take(f"{hook}.reweight", True) else 0.0
    source.leave(f"{hook}.dist_mode", "one process and many are the same here")


def _clustering(source: Source, cfg: Config) -> None:
    hook = source.index_of("custom_hooks", "DeepClusterHook")
    if hook is None:
        return
    odc = cfg.model.type == "ODC"
    source.take(f"{hook}.type")
    source.take(f"{hook}.clustering.type")
    source.take(f"{hook}.initial")  # both methods cluster before training
    source.take(f"{hook}.init_memory")
    _same_number(source, f"{hook}.clustering.k", cfg)
    dim = source.take(f"{hook}.clustering.pca_dim", -1)
    if odc and dim > 0:
        source.left[f"{hook}.clustering.pca_dim"] = "ODC clusters the features of its neck"
    elif not odc:
        cfg.model.feature_transform = (
            {"type": "PCAWhitening", "dim": dim} if dim > 0 else None
        )  # without PCA rows are scaled to unit length in both
    interval = source.take(f"{hook}.interval", 1)
    uniform = source.take(f"{hook}.unif_sampling", False)
    power = source.take(f"{hook}.reweight_pow", 0.5)
    reweight = source.take(f"{hook}.reweight", False)
    if not odc:  # ODC clusters once, and re-weights by its own hook
        cfg.default_hooks.clustering.interval = interval
        cfg.train_dataloader.sampler = {
            "type": "UniformClusterSampler" if uniform else "OwnerSampler"
        }
        cfg.model.loss.power = power if reweight else 0.0
    source.leave(f"{hook}.dist_mode", "one process and many are the same here")
    source.leave(f"{hook}.data_loaders", "there is one data set with two views")
    seed = source.take(f"{hook}.seed")
    if seed is not None:
        source.left[f"{hook}.seed"] = "every draw follows from randomness.seed"


def _same_number(source: Source, path: str, cfg: Config) -> None:
    """K stands in one place here; elsewhere it must be the same."""
    number = source.take(path)
    if number is not None and number != cfg.model.num_clusters:
        raise ConfigError(
            f"{path}={number}, but model.head.num_classes={cfg.model.num_clusters}: they must be "
            "the same number of clusters"
        )
