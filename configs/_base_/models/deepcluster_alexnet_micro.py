_base_ = "deepcluster_base.py"

# AlexNet-Micro behind a Sobel filter, for images of 32x32 (DeepDive, arXiv 2207.11839, section
# 3.3); what is clustered is the last fully connected layer before its ReLU.
model = dict(backbone=dict(type="AlexNetMicro", in_channels=3, sobel=True))
