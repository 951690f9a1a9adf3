"""ODC with ResNet-50 on ImageNet as its authors released it, where that differs from the paper.

The rate falls to 0.4 of it at the end instead of a tenth, samples go to the centroid with the
largest dot product instead of the nearest one (centroids are not of unit length), and the
classifier row of a refilled cluster stays as it was.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: tools/dist_train.sh configs/odc/odc_r50_released.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch;
         one process: python tools/train.py configs/odc/odc_r50_released.py --auto-scale-lr
Expected: not trained here. The authors' model zoo: linear probes on ImageNet 14.76, 31.82, 42.44,
          55.76, 57.70 (feat1 to feat5), mAP of SVMs on VOC07 78.42, low-shot mean 58.4.
"""

_base_ = "odc_r50.py"

model = dict(memory=dict(assign_metric="dot"), copy_reused_rows=False)
param_scheduler = [dict(type="MultiStepLR", milestones=[400], gamma=0.4)]
