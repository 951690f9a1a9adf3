_base_ = "deepercluster_base.py"

# ResNet-50; what is clustered is the pooled 2048 features.
model = dict(backbone=dict(type="ResNet", depth=50, in_channels=3))
