_base_ = "deepercluster_base.py"

# Five 3x3 convolutions for images of 64x64, small enough to be trained on a CPU.
model = dict(
    backbone=dict(type="ConvNet", in_channels=3, widths=(16, 32, 64, 128, 256)),
    feature_transform=dict(dim=64),
)
