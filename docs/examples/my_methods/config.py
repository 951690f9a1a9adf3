# A shipped config, and what is mine instead. The folder of mmdeepcluster is taken from the
# environment, so that this file may stand anywhere; without it, it is three folders above.
_base_ = "{{$MMDEEPCLUSTER_ROOT:../../..}}/configs/deepcluster/deepcluster_lenet5_digits.py"

custom_imports = dict(imports=["my_methods"])

model = dict(
    type="TypicalDeepCluster",
    floor=0.3,
    backbone=dict(_delete_=True, type="ConvMixer", in_channels=1, width=64, depth=2),
    clusterer=dict(_delete_=True, type="MixtureOfGaussians", max_iters=10),
)
optim_wrapper = dict(optimizer=dict(lr=0.05))
