_base_ = "odc_small.py"

# Four 3x3 convolutions for images of 32x32, small enough to be trained on a CPU.
model = dict(backbone=dict(type="ConvNet", in_channels=3, widths=(16, 32, 64, 128)))
