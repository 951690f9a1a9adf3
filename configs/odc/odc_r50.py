"""ODC with ResNet-50 on ImageNet, the recipe of the paper: 8 processes with 64 images each.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: tools/dist_train.sh configs/odc/odc_r50.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch;
         one process: python tools/train.py configs/odc/odc_r50.py --auto-scale-lr
         Your own photos: --cfg-options data_root=FOLDER; this recipe needs many thousands of
         iterations, what helps small sets is measured in docs/recipes.md.
Expected: not trained here. The paper's: linear probes on ImageNet 14.8, 31.6, 42.5, 55.7, 57.6
          (feat1 to feat5), mAP of SVMs on VOC07 78.2, low-shot mean 57.1. The released model,
          trained with odc_r50_released.py: 57.7 (feat5), 78.4, 58.4.
"""

_base_ = [
    "../_base_/models/odc_r50.py",
    "../_base_/datasets/imagenet.py",
    "../_base_/schedules/sgd_step_440e.py",
    "../_base_/default_runtime.py",
]

model = dict(num_clusters=10_000)
sync_bn = "torch"
auto_scale_lr = dict(base_batch_size=512)
