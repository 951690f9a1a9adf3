"""DeepCluster with LeNet-5 on Fashion-MNIST: the best values of the "Deep Dive" study.

Paper: DeepCluster: A Deep Dive into Deep Clustering, arXiv 2207.11839, section 3.3 and Table 1.
Command: python tools/train.py configs/deep_dive/fmnist_lenet5.py
         Initial Alignment: python tools/analysis_tools/initial_alignment.py CONFIG
         Halt after n cycles: --cfg-options default_hooks.clustering.halt_after=10
Expected: probe 0.826 after 50 cycles (untrained 0.794), 0.784 with K=200; seed 0, 15 minutes on one
          core, with train_dataloader.transforms=torchvision. Initial Alignment of 24 seeds: median
          0.35 (the paper: 0.37 to 0.41).
          docs/results/deep_dive.md has the curves.
"""

_base_ = [
    "../_base_/models/deepcluster_lenet5.py",
    "../_base_/datasets/fmnist.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

channels_last = False  # grey images gain nothing
model = dict(num_clusters=5)

# As the authors' code: the centre for clustering, crops of any size for training.
train_pipeline = [
    dict(type="Grayscale"),
    dict(type="RandomResizedCrop", size=32),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="Grayscale"),
    dict(type="Resize", size=44),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
evaluation = dict(probe_layer="conv_2.flat")

train_dataloader = dict(batch_size=128, sampler=dict(type="UniformClusterSampler"))
# the authors' code starts the head anew in each cycle, also after clustering has halted
default_hooks = dict(clustering=dict(reset_head_when_halted=True))
optim_wrapper = dict(optimizer=dict(lr=0.1, momentum=0.1, weight_decay=1e-3))
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(base_batch_size=128)
