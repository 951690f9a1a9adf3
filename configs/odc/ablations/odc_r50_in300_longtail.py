"""ODC with ResNet-50 on a long-tailed part of ImageNet: 100,000 images of 300 classes.

The number of clusters is ours, that of the other ablation.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645, section
       4.2 and Fig. 6.
Command: tools/dist_train.sh configs/odc/ablations/odc_r50_in300_longtail.py 8
         python tools/analysis_tools/sweep.py \\
             configs/odc/ablations/sweeps/long_tail_in300.yaml
Expected: not trained here. The paper varies the ratio of class sizes from 1 to 64.
"""

_base_ = "../odc_r50.py"

# Classes of ImageNet have at most 1,300 images: with 100,000 in all a ratio of 64 would need 1,408
# in the largest class, with 92,000 it does not.
# `--cfg-options dataset.dataset.root=...` says where ImageNet is.
dataset = dict(
    _delete_=True,
    type="LongTailSubset",
    dataset=dict(type="ImageFolder", root="data/imagenet/train", labels="folder"),
    num_classes=300,
    num_images=100_000,
    ratio=32,
    seed=0,
)
model = dict(num_clusters=500)
