"""Hooks: when things happen."""

from mmdeepcluster.engine.hooks.checkpoint_hook import EpochCheckpointHook
from mmdeepcluster.engine.hooks.cluster_metrics_hook import ClusterMetricsHook
from mmdeepcluster.engine.hooks.collapse_watchdog_hook import CollapseWatchdogHook
from mmdeepcluster.engine.hooks.epoch_clustering_hook import EpochClusteringHook
from mmdeepcluster.engine.hooks.epoch_seed_hook import EpochSeedHook
from mmdeepcluster.engine.hooks.online_clustering_hook import OnlineClusteringHook
from mmdeepcluster.engine.hooks.progress_hook import ProgressHook
from mmdeepcluster.engine.hooks.report_hook import ReportHook
from mmdeepcluster.engine.hooks.scalars_hook import DeferredScalarsHook, IterationLoggerHook
from mmdeepcluster.engine.hooks.speed_hook import SpeedHook

__all__ = [
    "ClusterMetricsHook",
    "CollapseWatchdogHook",
    "DeferredScalarsHook",
    "EpochCheckpointHook",
    "EpochClusteringHook",
    "EpochSeedHook",
    "IterationLoggerHook",
    "OnlineClusteringHook",
    "ProgressHook",
    "ReportHook",
    "SpeedHook",
]
