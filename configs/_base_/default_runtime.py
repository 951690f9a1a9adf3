default_scope = "mmdeepcluster"

# A folder of images that replaces the data set of a config: --cfg-options data_root=my_photos
data_root = None

default_hooks = dict(
    report=dict(type="ReportHook"),
    clustering=dict(type="OnlineClusteringHook"),
    epoch_seed=dict(type="EpochSeedHook"),
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    cluster_metrics=dict(type="ClusterMetricsHook", interval=50),
    watchdog=dict(type="CollapseWatchdogHook", interval=50),
    logger=dict(type="LoggerHook", interval=50),
    progress=dict(type="ProgressHook"),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=10, max_keep_ckpts=3),
)

log_processor = dict(
    type="LogProcessor",
    window_size=50,
    by_epoch=True,
    custom_cfg=[dict(data_src="change_ratio", method_name="mean", window_size=50)],
)
log_level = "INFO"
vis_backends = [dict(type="LocalVisBackend")]

# A switch of the training step, as are compile=True, optim_wrapper.optimizer.fused=True and --amp
# (docs/benchmarks.md). None: on a CPU, where convolutions of 3 channels and more were measured to
# train 1.2 to 1.5 times as fast.
channels_last = None

randomness = dict(seed=0, deterministic=False)
env_cfg = dict(cudnn_benchmark=True)

# Weights to start from: a file of this package, torchvision, timm, OpenMMLab, MoCo, SwAV, DINO,
# DeepCluster, ... False takes what fits of the backbone, instead of refusing a part of it.
load_from = None
load_from_strict = True
resume = False
