_base_ = "deepcluster_runtime.py"

# Clusters every third epoch (arXiv 1905.01278), and saves just before.
default_hooks = dict(
    clustering=dict(interval=3),
    checkpoint=dict(interval=3),
)
