"""ODC on the digits that come with scikit-learn: no download, about a minute on a laptop CPU.

Paper: Online Deep Clustering for Unsupervised Representation Learning, arXiv 2006.10645.
Command: python tools/train.py configs/odc/odc_lenet5_digits.py
Expected: k-NN 0.883 untrained -> 0.950 after 100 epochs, NMI 0.548 -> 0.777, change ratio 0.02
          at the end; seed 0. Seeds 1 and 2: 0.883 -> 0.944 and 0.903 -> 0.936.
          Curves in docs/results/.
"""

_base_ = [
    "../_base_/models/odc_lenet5.py",
    "../_base_/datasets/digits.py",
    "../_base_/schedules/sgd_step.py",
    "../_base_/default_runtime.py",
]

channels_last = False  # grey images gain nothing
model = dict(num_clusters=20)
# The first labels are learnt for a while before they may move (docs/recipes.md).
default_hooks = dict(clustering=dict(label_warmup=20))
auto_scale_lr = dict(base_batch_size=64)
