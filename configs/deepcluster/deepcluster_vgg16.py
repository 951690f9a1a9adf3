"""DeepCluster with VGG-16 on ImageNet, the recipe of the paper: batches of 256 images.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520.
Command: tools/dist_train.sh configs/deepcluster/deepcluster_vgg16.py 4
         (4 processes with 64 images each; with another number add --auto-scale-lr)
Expected: not trained here.
"""

_base_ = [
    "../_base_/models/deepcluster_vgg16.py",
    "../_base_/datasets/imagenet_deepcluster.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

model = dict(num_clusters=10_000)
auto_scale_lr = dict(base_batch_size=256)
