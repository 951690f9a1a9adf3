_base_ = "odc_convnet.py"

# ResNet-18 with a 3x3 stem and no max-pool, for images of 32x32.
model = dict(backbone=dict(_delete_=True, type="ResNet", depth=18, stem="small"))
