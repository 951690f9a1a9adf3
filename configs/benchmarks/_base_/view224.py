# The centre of photographs, as ImageNet is tested.
eval_pipeline = [
    dict(type="RGB"),
    dict(type="Resize", size=256),
    dict(type="CenterCrop", size=224),
    dict(type="PILToTensor"),
]
eval_dataloader = dict(batch_size=128, num_workers=8, pin_memory=True)
