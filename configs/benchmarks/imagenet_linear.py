"""Linear probes on ImageNet: each layer as in ODC (R62), the pooled features (R63), and k-NN.

Papers: ODC, arXiv 2006.10645, section 4.1; SwAV, arXiv 2006.09882.
Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/imagenet_linear.py
Expected: not measured here. The features of five layers of ResNet-50 take 235 GB on the disk; fewer
          with probe_layers. Published probes see random crops; these see the centre crop, and
          their ids say "cached".
"""

_base_ = "_base_/view224.py"

data = "imagenet"
train = dict(type="ImageFolder", root="data/imagenet/train", labels="folder", unreadable="trust")
test = dict(type="ImageFolder", root="data/imagenet/val", labels="folder", unreadable="trust")
protocols = ["linear-odc", "gap-openmmlab", "gap-swav", "knn"]
