"""Linear SVMs on VOC2007: all training images (R64), and k positives a class (R65).

Paper: Goyal et al., arXiv 1905.01235; ODC, arXiv 2006.10645, section 4.1.
Command: python tools/evaluate_card.py CONFIG CHECKPOINT -b configs/benchmarks/voc07_svm.py
Expected: not measured here. ODC's ResNet-50: mAP 78.2, low-shot mean 57.1 in the paper. The cost of
          the low-shot SVMs is picked on the test images, as published; low_shot_cost=holdout picks
          it on training images. svm_cost_list=fair takes the longer list of costs.
"""

_base_ = "_base_/view224.py"

data = "voc07"
voc = dict(root="data/VOCdevkit/VOC2007", train_split="trainval", test_split="test")
protocols = ["voc-svm", "voc-low-shot"]
