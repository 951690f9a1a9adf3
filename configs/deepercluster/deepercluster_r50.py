"""DeeperCluster with ResNet-50 on ImageNet: 8 processes with 64 images each.

Strong colour augmentation in place of a Sobel filter; every process holds all classifiers.

Paper: Unsupervised Pre-Training of Image Features on Non-Curated Data, arXiv 1905.01278.
Command: tools/dist_train.sh configs/deepercluster/deepercluster_r50.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch.
Expected: not trained here.
"""

_base_ = [
    "../_base_/models/deepercluster_r50.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/sgd_deepercluster.py",
    "../_base_/deepercluster_runtime.py",
]

model = dict(num_clusters=10_000, num_super_clusters=4)
train_dataloader = dict(sampler=dict(type="UniformClusterSampler"))
auto_scale_lr = dict(base_batch_size=512)
