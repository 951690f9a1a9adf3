# CIFAR-10, 50,000 images of 32x32, with the augmentation of ODC (section 3.4).
# `--cfg-options dataset.download=True` fetches it; `dataset.root=...` says where it is.
dataset = dict(type="CIFAR10", root="data", split="train", download=False)
evaluation = dict(test_split="test")

train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=32, scale=(0.2, 1.0)),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=1.0, hue=0.5),
    dict(type="RandomGrayscale", p=0.2),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(
    type="ImagePreprocessor", mean=[125.31, 122.95, 113.87], std=[62.99, 62.09, 66.70]
)

train_dataloader = dict(batch_size=256, num_workers=2)
eval_dataloader = dict(batch_size=500, num_workers=0)
