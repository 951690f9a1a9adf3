"""ODC with AlexNet on ImageNet, the recipe of the paper: 8 processes with 64 images each.

The neck of ODC follows the 4096 features behind the last ReLU of the network.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: tools/dist_train.sh configs/odc/odc_alexnet.py 8
         With another number of processes add --auto-scale-lr, so that the rate fits the batch;
         one process: python tools/train.py configs/odc/odc_alexnet.py --auto-scale-lr
Expected: not trained here. The paper's: linear probes on ImageNet 19.6, 32.8, 40.4, 41.4, 37.3
          (conv1 to conv5, here the layers relu_1 to relu_5).
"""

_base_ = "odc_r50.py"

model = dict(backbone=dict(_delete_=True, type="AlexNet", in_channels=3, out_indices=(-1,)))
optim_wrapper = dict(optimizer=dict(lr=0.04))
