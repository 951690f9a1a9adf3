"""The page that walks images through a method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mmdeepcluster.visualization import explore_cluster_figures as clustering
from mmdeepcluster.visualization import explore_figures as figures
from mmdeepcluster.visualization import explore_texts as texts
from mmdeepcluster.visualization import explore_training_figures as training
from mmdeepcluster.visualization.exploration import Exploration
from mmdeepcluster.visualization.explore_parts import SPRITE_COLUMNS, escape, thumb
from mmdeepcluster.visualization.explore_pictures import data_uri, sprite
from mmdeepcluster.visualization.explore_texts import StageText
from mmdeepcluster.visualization.page import html_page

_EXECUTED = {
    "torchvision": "",
    "opencv": "(The config lets OpenCV execute it, with the same draws and nearly the same pixels; "
    "here torchvision shows the steps.)",
    "device": "(The config augments batches on the device, with the same distributions and other "
    "draws; here torchvision shows the steps.)",
}


_OVERSHOT = (
    "Here the loss rose: the step was too long for this batch, as steps of large networks and high "
    "rates may be at first."
)


class Stage(NamedTuple):
    """A stage: its words, and what makes its figures."""

    name: str
    words: StageText
    draw: Callable[[Exploration], str]


def explore_page(data: Exploration) -> str:
    """One self-contained HTML page."""
    stages = stages_of(data)
    values = _values(data)
    sections = "".join(
        _section(data, number, stage, values) for number, stage in enumerate(stages, start=1)
    )
    title = f"{data.method}, step by step"
    body = (
        f"{_top(data)}"
        f'<main class="layout" style="--columns:{SPRITE_COLUMNS};'
        f'--sprite:url({data_uri(sprite(data.thumbnails, SPRITE_COLUMNS), "jpeg")})">'
        f"{_outline(stages, values)}<div>{_head(data, title)}{sections}</div></main>"
    )
    return html_page(title, body, styles=("explore.css",), scripts=("explore.js",))


def stages_of(data: Exploration) -> list[Stage]:
    """The stages that the method of an exploration has, in order."""
    found = [
        Stage("images", texts.ORIGINAL, figures.originals),
        Stage("augmentation", texts.AUGMENT, lambda d: figures.steps(d, "train")),
        Stage("evaluation", texts.EVALUATE, lambda d: figures.steps(d, "eval")),
    ]
    if data.own[0].planes:
        found.append(Stage("sobel", texts.SOBEL, figures.planes))
    if len(data.own[0].turned):
        found.append(Stage("turns", texts.TURNS, figures.turns))
    found.append(Stage("network", texts.NETWORK, figures.network))
    found.append(Stage("features", texts.FEATURES, clustering.features))
    whitened = len(data.matrices) > 2
    if len(data.matrices) > 1:
        words = texts.WHITEN if whitened else texts.UNIT
        found.append(Stage("transform", words, clustering.transformed))
    found.append(Stage("clusters", texts.KMEANS, clustering.kmeans))
    found.append(Stage("labels", texts.PSEUDO, clustering.pseudo_labels))
    found.append(Stage("sampling", _sampling(data), clustering.draws))
    found.append(Stage("step", texts.STEP, training.training_step))
    if data.memory is not None:
        found.append(Stage("memory", texts.MEMORY, training.memory))
    last = texts.NEXT_CYCLE if data.memory is None else texts.ONLINE
    found.append(Stage("next", last, training.next_cycle))
    return found


def _sampling(data: Exploration) -> StageText:
    if data.draws.sampler == "UniformClusterSampler":
        return texts.UNIFORM
    return texts.PLAIN if data.draws.weights is None else texts.REWEIGHT


def _values(data: Exploration) -> dict[str, Any]:
    """What the words of the stages name."""
    facts, step, found = data.facts, data.step, data.clustering
    online = data.memory is not None
    paper = texts.PAPERS.get(data.method, "")
    used = "the layers behind it, drawn faint, belong to the backbone and have no part in it."
    tap_note = used if not all(layer.used for layer in data.layers) else "the neck follows."
    configured = data.configured_clusters
    sized = configured is not None and configured != data.num_clusters
    k_note = f"(The config has {configured} for {data.dataset_size} images.) " if sized else ""
    two_levels = found.num_super_clusters > 1
    levels = (
        f"Here there are two levels: {found.num_super_clusters} super-clusters, and "
        f"{data.num_clusters // found.num_super_clusters} clusters inside each; the curve shows "
        "what the objective would be if each level stopped there."
        if two_levels
        else ""
    )
    weighted = data.draws.weights is not None
    equation = texts.WEIGHTED if weighted else texts.CROSS_ENTROPY
    equation = texts.TWO_LEVELS if "loss_sub" in step.losses else equation
    changed = int((data.next_cycle.labels != found.labels).sum())
    values = {
        **facts,
        "parameters": f"{facts['parameters']:,}",
        "method": data.method,
        "algorithm": data.method,
        "paper": paper,
        "origin": data.origin,
        "num_images": data.num_images,
        "others": data.num_images - len(data.own),
        "executed": _EXECUTED.get(data.transforms, ""),
        "tap_note": tap_note,
        "dim": data.matrices[0].rows.shape[1],
        "kept": data.matrices[-1].rows.shape[1],
        "why": "This config has no PCA."
        if not online
        else "The method has no PCA: its neck makes features that are narrow already.",
        "num_clusters": data.num_clusters,
        "max_iters": facts["max_iters"],
        "k_note": k_note,
        "levels": levels,
        "kmeans_source": f"{paper}, section 3.1"
        if online
        else f"{paper}, section 3" + (", equation 2" if data.method == "DeepCluster" else ""),
        "clusterer": found.clusterer,
        "untrained": ", with random weights" if data.origin.startswith("random") else "",
        "most": data.draws.most,
        "missed": data.draws.missed,
        "power": f"{data.draws.power:g}",
        "sampler": data.draws.sampler,
        "batch": len(step.samples),
        "optimizer": step.optimizer,
        "rate": f"{step.rate:g}",
        "head_rate": f"{step.head_rate:g}",
        "overshot": _OVERSHOT if step.loss_after > step.loss_before else "",
        "loss_equation": equation.format(chance=f"{step.chance:.4f}"),
        "step_source": f"{paper}, equation 1" if data.method in ("ODC", "DeepCluster") else paper,
        "head": next((x.name for x in data.layers if x.kind == "head"), ""),
        "steps": len(data.next_cycle.losses),
        "changed": changed,
        "nmi": f"{data.next_cycle.nmi:.4f}",
        "head_note": {
            "matched": "with the head that there is, since clusters keep their numbers",
            "centroids": "with a head that points to the new centroids",
        }.get(facts["head_start"], "with a new head of random weights"),
    }
    return values | _memory_values(data)


def _memory_values(data: Exploration) -> dict[str, Any]:
    found = data.memory
    if found is None:
        return {}
    warmup = (
        f"(This config keeps the first labels for {found.label_warmup} epochs, while features "
        "follow already; shown is what an iteration does after that.)"
    )
    return {
        "momentum": f"{found.momentum:g}",
        "renormalized": ", then unit length" if found.renormalize else "",
        "warmup": warmup if found.label_warmup else "",
        "interval": found.interval,
        "smallest": found.min_cluster_size,
        "refills": data.next_cycle.refills,
    }


def _section(data: Exploration, number: int, stage: Stage, values: dict[str, Any]) -> str:
    title, text, equation, source, module = (part.format(**values) for part in stage.words)
    places = "" if not source else f"<span><b>Paper</b> {escape(source)}</span>"
    code = ", ".join(f"<code>{escape(name.strip())}</code>" for name in module.split(","))
    return (
        f'<section class="stage" id="{stage.name}"><h2><span class="count">{number}</span>'
        f"{escape(title)}</h2><p>{escape(text)}</p>"
        + (f'<p class="equation">{equation}</p>' if equation else "")
        + f'<p class="places">{places}<span><b>Here</b> {code}</span></p>'
        + f'<div class="figures">{stage.draw(data)}</div></section>'
    )


def _top(data: Exploration) -> str:
    buttons = "".join(
        f'<button type="button" class="pick" data-pick="{index}" aria-pressed="false" '
        f'aria-label="follow {escape(image.name)}">{thumb(data, index)}</button>'
        for index, image in enumerate(data.own)
    )
    return (
        f'<nav class="top"><b>{escape(data.method)}</b><span class="spring"></span>'
        f'<span class="picker" role="group" aria-label="image to follow">{buttons}</span>'
        '<button type="button" data-scheme-switch>Dark</button></nav>'
    )


def _outline(stages: list[Stage], values: dict[str, Any]) -> str:
    items = "".join(
        f'<li><a href="#{stage.name}">{escape(stage.words.title.format(**values))}</a></li>'
        for stage in stages
    )
    return (
        '<details class="outline no-print" open><summary>Stages</summary>'
        f"<ol>{items}</ol></details>"
    )


def _head(data: Exploration, title: str) -> str:
    calibrated = ""
    if data.calibration_passes:
        calibrated = f", batch norm set by {data.calibration_passes} augmented pass(es)"
    rows = (
        ("config", data.config),
        ("network", f"{data.facts['backbone']}, {data.origin}{calibrated}"),
        ("images", f"{len(data.own)} followed, {data.num_images} in all; sample of {data.dataset}"),
        ("clusters", data.num_clusters),
        ("seed", data.seed),
    )
    body = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<h1>{escape(title)}</h1><div class="wide"><table class="facts">{body}</table></div>'
