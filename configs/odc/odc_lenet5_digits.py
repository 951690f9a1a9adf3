"""ODC on the digits that come with scikit-learn: no download, a few minutes on a laptop CPU.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: python tools/train.py configs/odc/odc_lenet5_digits.py
"""

_base_ = [
    "../_base_/models/odc_lenet5.py",
    "../_base_/datasets/digits.py",
    "../_base_/schedules/sgd_step.py",
    "../_base_/default_runtime.py",
]

model = dict(num_clusters=50)
default_hooks = dict(clustering=dict(calibration_passes=1, label_warmup=20))
auto_scale_lr = dict(base_batch_size=64)
