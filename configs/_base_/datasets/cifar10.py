# CIFAR-10, 50,000 images of 32x32.
# `--cfg-options dataset.download=True` fetches it; `dataset.root=...` says where it is.
dataset = dict(type="CIFAR10", root="data", split="train", download=False)
evaluation = dict(test_split="test")

# The augmentation of ODC (section 3.4) with weaker colours: at 32x32 the jitter of the paper
# (saturation 1.0, hue 0.5) takes away most of what the first clusters hold on to.
train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=32, scale=(0.3, 1.0)),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
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

# Images are held in memory and augmented in batches on the device of the network. Changes results:
# the distributions are those of torchvision, the random numbers are others. With "torchvision"
# data workers transform image by image.
train_dataloader = dict(batch_size=128, num_workers=2, transforms="device")
eval_dataloader = dict(batch_size=250, num_workers=0)
