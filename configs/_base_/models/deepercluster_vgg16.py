_base_ = "deepercluster_base.py"

# VGG-16 with batch norm behind a Sobel filter; what is clustered is the last fully connected layer
# before its ReLU, whitened in all its 4096 dimensions.
model = dict(
    backbone=dict(type="VGG16BN", in_channels=3, sobel=True),
    feature_transform=dict(dim=4096),
)
