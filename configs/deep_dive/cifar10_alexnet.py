"""DeepCluster with AlexNet on CIFAR-10 scaled up to 224x224: appendix A of the "Deep Dive" study.

Paper: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, appendix A.
Command: python tools/train.py configs/deep_dive/cifar10_alexnet.py
         Halt after n cycles: --cfg-options default_hooks.clustering.halt_after=15
Expected: not trained here. The paper's probe of relu_5: 62.00, 64.06, 65.18 and 66.98 when
          clustering halts after 15, 30, 50 and 100 cycles; 64.97, 64.80, 65.50 and 65.47 with PCA
          to 32, 64, 128 and 256.
"""

_base_ = [
    "../_base_/models/deepcluster_alexnet.py",
    "../_base_/datasets/cifar10.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

model = dict(
    num_clusters=2000,
    backbone=dict(widths=(64, 192, 384, 256, 256), fc_channels=(2048, 2048)),
)

train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=224),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=256),
    dict(type="CenterCrop", size=224),
    dict(type="PILToTensor"),
]
# relu_5 is 256x13x13; means over 2x2 positions leave 9216
evaluation = dict(probe_layer="relu_5.avg2")

train_dataloader = dict(batch_size=256, num_workers=4, sampler=dict(type="UniformClusterSampler"))
eval_dataloader = dict(batch_size=256, num_workers=4)
# the authors' code starts the head anew in each cycle, also after clustering has halted
default_hooks = dict(clustering=dict(reset_head_when_halted=True))
optim_wrapper = dict(optimizer=dict(lr=0.05, momentum=0.9, weight_decay=1e-5))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=256)
