"""ODC as a fine-tuning scheme on a folder of photographs: a small network that was trained before.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645,
       section 3.3.
Command: python tools/train.py configs/odc/finetune/odc_convnet_photos_30e.py \\
             --cfg-options data_root=my_photos load_from=work_dirs/rotnet/epoch_60.pth
Expected: on 1,500 photographs of Imagenette (K=40), 2.5 minutes on 2 CPU cores: from RotNet k-NN
          0.363 -> 0.431 (30 more epochs of RotNet: 0.404), from DeeperCluster 0.410 -> 0.455, from
          random weights 0.321 -> 0.396; NMI of k-means 0.160 -> 0.201 (0.183), 0.183 -> 0.224 and
          0.118 -> 0.188; seed 0.
"""

_base_ = [
    "../../_base_/models/odc_convnet.py",
    "../../_base_/datasets/photos64.py",
    "../../_base_/schedules/sgd_cosine.py",
    "../../_base_/default_runtime.py",
]

model = dict(num_clusters="auto", backbone=dict(in_channels=3, widths=(16, 32, 64, 128, 256)))
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(optimizer=dict(lr=0.03))
train_cfg = dict(max_epochs=30)
default_hooks = dict(clustering=dict(calibration_passes=1, label_warmup=3))
auto_scale_lr = dict(base_batch_size=32)
