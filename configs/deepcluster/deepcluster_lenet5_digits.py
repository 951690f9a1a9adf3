"""DeepCluster on the digits that come with scikit-learn: no download, a minute on a laptop CPU.

Paper: Deep Clustering for Unsupervised Learning of Visual Features, arXiv 1807.05520.
Command: python tools/train.py configs/deepcluster/deepcluster_lenet5_digits.py
         --cfg-options model.head_start=matched keeps the head over clusterings.
Expected: k-NN 0.883 untrained -> 0.928 after 100 epochs, NMI 0.606 -> 0.717; seed 0. Seeds 1 and 2:
          0.883 -> 0.950 and 0.903 -> 0.939. With the head kept NMI becomes 0.762 (docs/recipes.md).
"""

_base_ = [
    "../_base_/models/deepcluster_lenet5.py",
    "../_base_/datasets/digits.py",
    "../_base_/schedules/sgd_deepcluster.py",
    "../_base_/deepcluster_runtime.py",
]

channels_last = False  # grey images gain nothing
model = dict(num_clusters=20)
train_dataloader = dict(sampler=dict(type="UniformClusterSampler"))
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_epochs=100)
auto_scale_lr = dict(base_batch_size=64)
