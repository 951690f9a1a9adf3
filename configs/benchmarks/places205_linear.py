"""The probes of imagenet_linear.py on Places205 (R67): other images and classes, nothing else.

Paper: ODC, arXiv 2006.10645, section 4.1.
Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/places205_linear.py
Expected: not measured here. ODC's ResNet-50 reached 49.3 (feat5) in the paper.
"""

_base_ = "imagenet_linear.py"

data = "places205"
train = dict(root="data/places205/train")
test = dict(root="data/places205/val")
