# 1,437 of the handwritten digits (8x8) that come with scikit-learn: nothing to download. The other
# 360, written by other hands, are kept for the test.
dataset = dict(type="Digits", split="train")
evaluation = dict(test_split="test")

train_pipeline = [
    dict(type="Grayscale"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="RandomAffine", degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
    dict(type="PILToTensor"),
]
eval_pipeline = [
    dict(type="Grayscale"),
    dict(type="Resize", size=32),
    dict(type="CenterCrop", size=32),
    dict(type="PILToTensor"),
]
data_preprocessor = dict(type="ImagePreprocessor", mean=[77.9], std=[93.0])

train_dataloader = dict(batch_size=64, num_workers=1)
eval_dataloader = dict(batch_size=256, num_workers=0)
