"""Fine-tuning with 1 % and 10 % of ImageNet's labels, a seeded share of each class (R68).

Paper: SwAV, arXiv 2006.09882, whose published rates these are.
Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/imagenet_semi.py
Expected: not measured here.
"""

_base_ = "imagenet_linear.py"

protocols = ["semi-1", "semi-10"]
