"""ODC with a small convolutional network on a long-tailed part of CIFAR-10: 12,000 images.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645, section
       4.2 and Fig. 6, there on ImageNet.
Command: python tools/train.py configs/odc/ablations/odc_convnet_cifar10_longtail.py
         python tools/analysis_tools/sweep.py \\
             configs/odc/ablations/sweeps/long_tail_cifar10.yaml
Expected: 5 minutes on 2 CPU cores; k-NN (of a bank that is long-tailed, too) 0.270 -> 0.379, NMI
          0.081 -> 0.104; seed 1. Other ratios are in docs/recipes.md.
"""

_base_ = "../odc_convnet_cifar10.py"

# As many images as ratios up to 64 leave possible with 5,000 a class.
# `--cfg-options dataset.dataset.root=...` says where CIFAR-10 is.
dataset = dict(
    _delete_=True,
    type="LongTailSubset",
    dataset=dict(type="CIFAR10", root="data", split="train", download=False),
    num_classes=10,
    num_images=12_000,
    ratio=16,
    seed=0,
)
model = dict(num_clusters=100)
