_base_ = "imagenet.py"

# The augmentation of DeepCluster: crops and flips. Colours are left to the Sobel filter, which
# takes them away.
train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=224),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="PILToTensor"),
]
train_dataloader = dict(sampler=dict(type="UniformClusterSampler"))
