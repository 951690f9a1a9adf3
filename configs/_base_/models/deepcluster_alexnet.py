_base_ = "deepcluster_base.py"

# AlexNet with batch norm behind a Sobel filter; what is clustered is the last fully connected
# layer before its ReLU.
model = dict(
    backbone=dict(type="AlexNet", in_channels=3, sobel=True, out_indices=(-2,)),
)
