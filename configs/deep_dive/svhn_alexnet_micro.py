"""DeepCluster with AlexNet-Micro on SVHN: the best values of the "Deep Dive" study.

Paper: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 3.3 and Table 1.
Command: python tools/train.py configs/deep_dive/svhn_alexnet_micro.py
         Initial Alignment: python tools/analysis_tools/initial_alignment.py CONFIG
         Halt after n cycles: --cfg-options default_hooks.clustering.halt_after=10
Expected: Initial Alignment 0.04 to 0.16 (the paper); on the first 10,000 test images 0.23 to 0.24
          (docs/results/deep_dive.md); not trained here.
"""

_base_ = [
    "../_base_/models/deepcluster_alexnet_micro.py",
    "../_base_/datasets/svhn.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

model = dict(num_clusters=200)

# As the authors' code: the centre for clustering, crops of any size for training.
train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=32),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=45),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
evaluation = dict(probe_layer="relu_5.flat")

train_dataloader = dict(batch_size=64, sampler=dict(type="UniformClusterSampler"))
# the authors' code starts the head anew in each cycle, also after clustering has halted
default_hooks = dict(clustering=dict(reset_head_when_halted=True))
optim_wrapper = dict(optimizer=dict(lr=0.1, momentum=0.5, weight_decay=1e-3))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=64)
