"""DeepCluster with AlexNet on ImageNet, the recipe of the paper: batches of 256 images.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520.
Command: python tools/train.py configs/deepcluster/deepcluster_alexnet.py
         Several processes: tools/dist_train.sh configs/deepcluster/deepcluster_alexnet.py 4
         --cfg-options train_dataloader.batch_size=64 keeps the batch of 256.
Expected: not trained here. The paper's, after 500 epochs: linear probes on ImageNet 12.9, 29.2,
          38.2, 39.8, 36.1 (conv1 to conv5, here the layers relu_1 to relu_5).
"""

_base_ = [
    "../_base_/models/deepcluster_alexnet.py",
    "../_base_/datasets/imagenet_deepcluster.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

model = dict(num_clusters=10_000)
train_dataloader = dict(batch_size=256)
train_cfg = dict(max_epochs=500)
auto_scale_lr = dict(base_batch_size=256)
