"""Every registry of mmdeepcluster, each a child of MMEngine's root registry.

Components register under the scope ``mmdeepcluster``; a user module named in ``custom_imports``
does the same with the decorator and is then available to config files by name::

    from mmdeepcluster.registry import BACKBONES

    @BACKBONES.register_module()
    class MyBackbone(nn.Module):
        ...

Backbones, necks, heads, losses, memories and algorithms are all ``nn.Module`` and share one
registry, as in the other OpenMMLab projects; the separate names only say what is being added.
"""

from typing import Any

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

SCOPE = "mmdeepcluster"


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope=SCOPE, locations=[f"{SCOPE}.{location}"])


MODELS = _child("model", MMENGINE_MODELS, "models")
BACKBONES = NECKS = HEADS = LOSSES = MEMORIES = ALGORITHMS = MODELS

CLUSTERERS = Registry("clusterer", scope=SCOPE, locations=[f"{SCOPE}.clustering"])
FEATURE_TRANSFORMS = Registry("feature transform", scope=SCOPE, locations=[f"{SCOPE}.clustering"])

DATASETS = _child("dataset", MMENGINE_DATASETS, "datasets")
DATA_SAMPLERS = _child("data sampler", MMENGINE_DATA_SAMPLERS, "datasets.samplers")
TRANSFORMS = _child("transform", MMENGINE_TRANSFORMS, "datasets.transforms")

HOOKS = _child("hook", MMENGINE_HOOKS, "engine.hooks")
LOOPS = _child("loop", MMENGINE_LOOPS, "engine")
RUNNERS = _child("runner", MMENGINE_RUNNERS, "engine")
LOG_PROCESSORS = _child("log processor", MMENGINE_LOG_PROCESSORS, "engine")
OPTIMIZERS = _child("optimizer", MMENGINE_OPTIMIZERS, "engine")
OPTIM_WRAPPERS = _child("optim wrapper", MMENGINE_OPTIM_WRAPPERS, "engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS, "engine"
)
PARAM_SCHEDULERS = _child("parameter scheduler", MMENGINE_PARAM_SCHEDULERS, "engine")
VISBACKENDS = _child("vis_backend", MMENGINE_VISBACKENDS, "engine")
VISUALIZERS = _child("visualizer", MMENGINE_VISUALIZERS, "engine")


def find_component(registry: Registry, kind: Any) -> Any:
    """What ``type`` of a config means: what is registered by this name, or the class itself.

    None if nothing is registered by it.
    """
    return registry.get(kind) if isinstance(kind, str) else kind
