"""DeepCluster with ResNet-50 on ImageNet: 8 processes with 64 images each.

As in OpenMMLab's release: strong colour augmentation in place of a Sobel filter.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520.
Command: tools/dist_train.sh configs/deepcluster/deepcluster_r50.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch.
Expected: not trained here. The ODC paper's own DeepCluster: linear probes on ImageNet 14.4, 29.6,
          39.9, 52.2, 50.3 (feat1 to feat5), mAP of SVMs on VOC07 69.1.
"""

_base_ = [
    "../_base_/models/deepcluster_r50.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

model = dict(num_clusters=10_000)
train_dataloader = dict(sampler=dict(type="UniformClusterSampler"))
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=512)
