# Fashion-MNIST, 60,000 grey images of 28x28.
# `--cfg-options dataset.download=True` fetches it; `dataset.root=...` says where it is.
dataset = dict(type="FashionMNIST", root="data", split="train", download=False)
evaluation = dict(test_split="test")

train_pipeline = [
    dict(type="Grayscale"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="RandomAffine", degrees=5, translate=(0.06, 0.06), scale=(0.9, 1.1)),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="Grayscale"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(type="ImagePreprocessor", mean=[72.93], std=[81.73])

# Images are held in memory and augmented in batches on the device of the network. Changes results:
# the distributions are those of torchvision, the random numbers are others. With "torchvision"
# data workers transform image by image.
train_dataloader = dict(batch_size=128, num_workers=2, transforms="device")
eval_dataloader = dict(batch_size=1000, num_workers=0)
