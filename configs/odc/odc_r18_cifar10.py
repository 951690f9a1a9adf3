"""ODC with ResNet-18 (small-image stem) on CIFAR-10; meant for a GPU.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: python tools/train.py configs/odc/odc_r18_cifar10.py
         (--cfg-options dataset.download=True fetches the images into data/)
Expected: not measured yet, for want of a GPU; the recipe is that of odc_convnet_cifar10.py.
"""

_base_ = [
    "../_base_/models/odc_r18_small.py",
    "../_base_/datasets/cifar10.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/default_runtime.py",
]

model = dict(num_clusters=250)
train_dataloader = dict(num_workers=8, pin_memory=True)
default_hooks = dict(clustering=dict(calibration_passes=1, label_warmup=3))
auto_scale_lr = dict(base_batch_size=128)
