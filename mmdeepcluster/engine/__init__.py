"""Where MMEngine ends and this package begins: start-up, checkpoints, and when things happen."""

from mmdeepcluster.engine.access import get_algorithm
from mmdeepcluster.engine.build import build_runner, default_work_dir, eval_loader
from mmdeepcluster.engine.checkpoint_io import (
    find_last_checkpoint,
    pointed_checkpoint,
    read_checkpoint,
    write_atomically,
)
from mmdeepcluster.engine.errors import ConfigError, TrainingError, TrainingInterruptedError
from mmdeepcluster.engine.launch import LAUNCHERS, from_main, join_processes, leave_processes
from mmdeepcluster.engine.onnx_export import export_onnx
from mmdeepcluster.engine.optim_wrapper import BFloat16OptimWrapper, cpu_has_bfloat16
from mmdeepcluster.engine.report import FinalResult, finalize
from mmdeepcluster.engine.resolve_config import (
    ResolvedConfig,
    load_config,
    merge_options,
    resolve_config,
)
from mmdeepcluster.engine.runner import DeepClusterRunner, build_algorithm, load_algorithm
from mmdeepcluster.engine.seeding import derive_seed, seed_everything
from mmdeepcluster.engine.summary import describe, warn_if_short
from mmdeepcluster.engine.threads import share_cores
from mmdeepcluster.engine.trained_network import TrainedNetwork, build_network, load_trained
from mmdeepcluster.engine.weights_in import load_weights, read_weights

__all__ = [
    "LAUNCHERS",
    "BFloat16OptimWrapper",
    "ConfigError",
    "DeepClusterRunner",
    "FinalResult",
    "ResolvedConfig",
    "TrainedNetwork",
    "TrainingError",
    "TrainingInterruptedError",
    "build_algorithm",
    "build_network",
    "build_runner",
    "cpu_has_bfloat16",
    "default_work_dir",
    "derive_seed",
    "describe",
    "eval_loader",
    "export_onnx",
    "finalize",
    "find_last_checkpoint",
    "from_main",
    "get_algorithm",
    "join_processes",
    "leave_processes",
    "load_algorithm",
    "load_config",
    "load_trained",
    "load_weights",
    "merge_options",
    "pointed_checkpoint",
    "read_checkpoint",
    "read_weights",
    "resolve_config",
    "seed_everything",
    "share_cores",
    "warn_if_short",
    "write_atomically",
]
