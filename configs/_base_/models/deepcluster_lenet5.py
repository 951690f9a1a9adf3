_base_ = "deepcluster_base.py"

# LeNet-5 for grey images of 32x32 (DeepDive, arXiv 2207.11839, section 3.3), which clusters its 84
# features without PCA.
model = dict(backbone=dict(type="LeNet5", in_channels=1), feature_transform=None)
