"""DeeperCluster with a small network on a folder of photographs: minutes on a laptop CPU.

Paper: Unsupervised Pre-Training of Image Features on Non-Curated Data, arXiv 1905.01278.
Command: python tools/train.py configs/deepercluster/deepercluster_convnet_photos.py \\
             --cfg-options data_root=my_photos model.num_clusters=40
Expected: on 1,500 photographs of Imagenette (10 classes, seen by the evaluation alone), 3.7 minutes
          on 2 CPU cores: rotation accuracy 0.27 -> 0.46, loss 5.2 -> 3.6, k-NN 0.321 untrained ->
          0.410, NMI of 40 clusters 0.113 -> 0.174; seed 0. docs/recipes.md compares with RotNet
          and DeepCluster on the same budget.
"""

_base_ = [
    "../_base_/models/deepercluster_convnet.py",
    "../_base_/datasets/photos64.py",
    "../_base_/schedules/sgd_deepercluster.py",
    "../_base_/deepercluster_runtime.py",
]

model = dict(num_clusters="auto", num_super_clusters=2)
train_dataloader = dict(batch_size=32, sampler=dict(type="UniformClusterSampler"))
optim_wrapper = dict(optimizer=dict(lr=0.05))
# A thousand images make short epochs: classifiers need more of them before they start anew.
default_hooks = dict(clustering=dict(interval=10), checkpoint=dict(interval=10))
train_cfg = dict(max_epochs=60)
auto_scale_lr = dict(base_batch_size=32)
