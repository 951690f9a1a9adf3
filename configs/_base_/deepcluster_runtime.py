_base_ = "default_runtime.py"

# DeepCluster clusters before each epoch.
default_hooks = dict(clustering=dict(_delete_=True, type="EpochClusteringHook", interval=1))
log_processor = dict(custom_cfg=[], mean_pattern=".*(loss|time|data_time|grad_norm|accuracy).*")
