"""Where MMEngine ends and this package begins: start-up, checkpoints, and when things happen."""

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.build import (
    build_on_meta,
    build_runner,
    default_work_dir,
    eval_loader,
    train_loader,
    without_weights,
)
from mmdeepcluster.engine.checkpoint_io import (
    file_digest,
    find_last_checkpoint,
    pointed_checkpoint,
    read_checkpoint,
    rename_durably,
    replacing,
    write_atomically,
)
from mmdeepcluster.engine.config_schema import did_you_mean
from mmdeepcluster.engine.errors import ConfigError, TrainingError, TrainingInterruptedError
from mmdeepcluster.engine.feature_source import (
    FeatureSource,
    load_source,
    network_config,
    open_images,
    state_digest,
)
from mmdeepcluster.engine.launch import (
    LAUNCHERS,
    from_main,
    join_processes,
    leave_processes,
    start_processes,
)
from mmdeepcluster.engine.onnx_export import export_onnx
from mmdeepcluster.engine.optim_groups import MergedGroupsConstructor
from mmdeepcluster.engine.optim_wrapper import (
    BFloat16OptimWrapper,
    DeferredNormOptimWrapper,
    cpu_has_bfloat16,
)
from mmdeepcluster.engine.report import FinalResult, finalize
from mmdeepcluster.engine.resolve_config import (
    ResolvedConfig,
    build_dataset,
    load_config,
    merge_options,
    prepare_config,
    resolve_config,
    resolve_for,
    resolve_for_size,
)
from mmdeepcluster.engine.runner import DeepClusterRunner, build_algorithm, load_algorithm
from mmdeepcluster.engine.sample_table import (
    FIRST_COLUMNS,
    sample_chunks,
    write_left_out,
    write_table,
)
from mmdeepcluster.engine.seeding import config_seed, derive_seed, seed_everything
from mmdeepcluster.engine.summary import describe, warn_if_short
from mmdeepcluster.engine.threads import cores_of_pass, share_cores
from mmdeepcluster.engine.trained_network import TrainedNetwork, build_network, load_trained
from mmdeepcluster.engine.weights_in import load_weights, read_weights
from mmdeepcluster.engine.zoo import is_zoo_name

__all__ = [
    "FIRST_COLUMNS",
    "LAUNCHERS",
    "BFloat16OptimWrapper",
    "ConfigError",
    "DeepClusterRunner",
    "DeferredNormOptimWrapper",
    "FeatureSource",
    "FinalResult",
    "MergedGroupsConstructor",
    "ResolvedConfig",
    "TrainedNetwork",
    "TrainingError",
    "TrainingInterruptedError",
    "build_algorithm",
    "build_dataset",
    "build_network",
    "build_on_meta",
    "build_runner",
    "config_seed",
    "cores_of_pass",
    "cpu_has_bfloat16",
    "default_work_dir",
    "derive_seed",
    "describe",
    "did_you_mean",
    "eval_loader",
    "export_onnx",
    "file_digest",
    "finalize",
    "find_last_checkpoint",
    "from_main",
    "get_algorithm",
    "is_zoo_name",
    "join_processes",
    "leave_processes",
    "load_algorithm",
    "load_config",
    "load_source",
    "load_trained",
    "load_weights",
    "merge_options",
    "network_config",
    "open_images",
    "pointed_checkpoint",
    "prepare_config",
    "read_checkpoint",
    "read_weights",
    "rename_durably",
    "replacing",
    "resolve_config",
    "resolve_for",
    "resolve_for_size",
    "sample_chunks",
    "seed_everything",
    "share_cores",
    "start_processes",
    "state_digest",
    "train_loader",
    "warn_if_short",
    "without_weights",
    "write_atomically",
    "write_left_out",
    "write_table",
]
