"""ODC with a small convolutional network on CIFAR-10.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: python tools/train.py configs/odc/odc_convnet_cifar10.py
         (--cfg-options dataset.download=True fetches the images into data/)
Expected: k-NN 0.408 untrained -> 0.556 after 20 epochs (12 minutes on 2 CPU cores),
          NMI 0.121 -> 0.187, loss 5.5 -> 2.5, change ratio 0.73 (epoch 4) -> 0.39; seed 0,
          with train_dataloader.transforms=torchvision.
          Curves in docs/results/.
"""

_base_ = [
    "../_base_/models/odc_convnet.py",
    "../_base_/datasets/cifar10.py",
    "../_base_/schedules/sgd_cosine.py",
    "../_base_/default_runtime.py",
]

model = dict(num_clusters=250)
default_hooks = dict(clustering=dict(calibration_passes=1, label_warmup=3))
auto_scale_lr = dict(base_batch_size=128)
