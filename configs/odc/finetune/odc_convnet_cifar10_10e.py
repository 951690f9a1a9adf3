"""ODC as a fine-tuning scheme on a CPU: a small network on CIFAR-10 from other weights, 10 epochs.

The weights may be those of any method here (RotNet, DeepCluster, ODC) with the same backbone. The
rate is half that of the training from scratch.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645,
       section 3.3.
Command: python tools/train.py configs/odc/finetune/odc_convnet_cifar10_10e.py \\
             --cfg-options load_from=work_dirs/odc_convnet_cifar10/epoch_20.pth
Expected: not measured yet.
"""

_base_ = "../odc_convnet_cifar10.py"

load_from = "checkpoints/start.pth"
optim_wrapper = dict(optimizer=dict(lr=0.03))
train_cfg = dict(max_epochs=10)
