_base_ = "odc_small.py"

# LeNet-5 for grey images of 32x32 (DeepDive, arXiv 2207.11839, section 3.3).
model = dict(backbone=dict(type="LeNet5", in_channels=1))
