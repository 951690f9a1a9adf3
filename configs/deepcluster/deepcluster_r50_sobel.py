"""DeepCluster with ResNet-50 behind a Sobel filter on ImageNet: 8 processes with 64 images each.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520.
Command: tools/dist_train.sh configs/deepcluster/deepcluster_r50_sobel.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch.
Expected: not trained here. OpenMMLab's release: linear probes on ImageNet 12.78, 30.81, 43.88,
          57.71, 51.68 (feat1 to feat5), mAP of SVMs on VOC07 74.26.
"""

_base_ = "deepcluster_r50.py"

model = dict(backbone=dict(sobel=True))
