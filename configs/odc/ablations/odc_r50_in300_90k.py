"""ODC with ResNet-50 on 90,000 images of 300 classes of ImageNet, for ablations.

The number of clusters is ours: the paper's largest threshold, 160 images a cluster, leaves at most
562 of them. Sweeps of the interval of centroids and of the threshold stand in `sweeps/`.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645, section
       4.2 and Fig. 4.
Command: tools/dist_train.sh configs/odc/ablations/odc_r50_in300_90k.py 8
         python tools/analysis_tools/sweep.py \\
             configs/odc/ablations/sweeps/min_cluster_size_in300.yaml
Expected: not trained here. The paper's: flat in both, until the threshold is large (160 hurts).
"""

_base_ = "../odc_r50.py"

# `--cfg-options dataset.dataset.root=...` says where ImageNet is.
dataset = dict(
    _delete_=True,
    type="ClassSubset",
    dataset=dict(type="ImageFolder", root="data/imagenet/train", labels="folder"),
    num_classes=300,
    num_images=90_000,
    seed=0,
)
model = dict(num_clusters=500)
