"""DeeperCluster with a small network on a folder of photographs: minutes on a laptop CPU.

Paper: Unsupervised Pre-Training of Image Features on Non-Curated Data, arXiv 1905.01278.
Command: python tools/train.py configs/deepercluster/deepercluster_convnet_photos.py \
             --cfg-options data_root=my_photos model.num_clusters=40
"""

_base_ = [
    "../_base_/models/deepercluster_convnet.py",
    "../_base_/datasets/photos64.py",
    "../_base_/schedules/sgd_deepercluster.py",
    "../_base_/deepercluster_runtime.py",
]

model = dict(num_clusters="auto", num_super_clusters=2)
train_dataloader = dict(sampler=dict(type="UniformClusterSampler"))
optim_wrapper = dict(optimizer=dict(lr=0.05))
train_cfg = dict(max_epochs=30)
auto_scale_lr = dict(base_batch_size=64)
