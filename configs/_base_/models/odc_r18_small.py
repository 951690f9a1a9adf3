_base_ = "odc_small.py"

# ResNet-18 with a 3x3 stem and no max-pool, for images of 32x32.
model = dict(backbone=dict(type="ResNet", depth=18, in_channels=3, stem="small"))
