# SVHN cropped digits, 73,257 images of 32x32, without the extra ones.
# `--cfg-options dataset.download=True` fetches it; `dataset.root=...` says where it is.
dataset = dict(type="SVHN", root="data", split="train", download=False)
evaluation = dict(test_split="test")

train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=32, scale=(0.3, 1.0)),
    dict(type="RandomRotation", degrees=2),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(
    type="ImagePreprocessor", mean=[111.61, 113.16, 120.57], std=[50.50, 51.26, 50.24]
)

# Images are held in memory and augmented in batches on the device of the network. Changes results:
# the distributions are those of torchvision, the random numbers are others. With "torchvision"
# data workers transform image by image.
train_dataloader = dict(batch_size=128, num_workers=2, transforms="device")
eval_dataloader = dict(batch_size=250, num_workers=0)
