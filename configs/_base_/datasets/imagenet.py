# ImageNet, 1,281,167 training images in one folder per class. The folders are the known classes,
# for evaluation alone; k-NN leaves one image out, on a seeded subset.
# `--cfg-options dataset.root=...` says where the images are.
dataset = dict(type="ImageFolder", root="data/imagenet/train", labels="folder")
evaluation = dict(max_samples=50_000)

# The augmentation of ODC (section 3.4). The strong colour jitter keeps clusters from being bins of
# colours, so that no Sobel filter is needed.
train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=224),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type="RandomGrayscale", p=0.2),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=256),
    dict(type="CenterCrop", size=224),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(
    type="ImagePreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
)

# Of each process. OpenCV executes the training pipeline twice as fast as torchvision does, with
# the same draws and nearly the same pixels (docs/data_path.md); transforms="torchvision" is exact.
train_dataloader = dict(batch_size=64, num_workers=8, pin_memory=True, transforms="opencv")
eval_dataloader = dict(batch_size=128, num_workers=8, pin_memory=True)
