# A folder of photographs, seen at 64x64: `--cfg-options data_root=my_photos`. Folder names count as
# known classes, for evaluation alone, with `dataset.labels=folder`.
dataset = dict(type="ImageFolder", root="data/photos")

train_pipeline = [
    dict(type="RGB"),
    dict(type="RandomResizedCrop", size=64, scale=(0.3, 1.0)),
    dict(type="RandomHorizontalFlip", p=0.5),
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    dict(type="RandomGrayscale", p=0.2),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=72),
    dict(type="CenterCrop", size=64),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(
    type="ImagePreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
)

train_dataloader = dict(batch_size=64, num_workers=2, pin_memory=True)
eval_dataloader = dict(batch_size=256, num_workers=2, pin_memory=True)
