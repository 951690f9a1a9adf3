"""The run report (R29, R54, R55, R69), opened in a browser as a person would."""

import contextlib
import csv
import os
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tool_runs import ROOT, run_here

from mmdeepcluster.apis import train, write_report

DIGITS = ROOT / "configs/odc/odc_lenet5_digits.py"
SHORT = {
    "train_cfg.max_epochs": 4,
    "train_dataloader.num_workers": 0,
    "default_hooks.clustering.calibration_passes": 0,
    "default_hooks.clustering.label_warmup": 1,
    "default_hooks.checkpoint.interval": 1,
    "default_hooks.logger.interval": 10,
    "default_hooks.cluster_metrics.interval": 10,
    "default_hooks.cluster_metrics.save_labels_interval": 1,
    "default_hooks.report.page": True,
}


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory):
    """A training of the digits whose last act is its page."""
    folder = tmp_path_factory.mktemp("digits run")
    train(DIGITS, work_dir=folder, options=SHORT)
    return folder


@contextlib.contextmanager
def opened(browser, path, width=1280, height=800, scheme="light"):
    """A page in Chromium; any error on its console fails the test."""
    errors = []
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=width < 500
    )
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(Path(path).as_uri())
    page.wait_for_selector("html[data-ready]", timeout=20_000)
    yield page
    page.close()
    assert errors == []


def no_sideways(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def settled(page, element):
    """Scrolls to an element and waits for the end of it; scrolling hides what hovering showed."""
    element.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    page.wait_for_timeout(100)


def num_colors(element):
    """Distinct colours of what is to be seen of an element."""
    with Image.open(BytesIO(element.screenshot())) as shot:
        return len(shot.convert("RGB").getcolors(1 << 24))


def test_a_training_ends_with_its_page(browser, work_dir):
    # R54, R55: curves and clusters are there to be seen, in one file
    path = work_dir / "report.html"
    text = path.read_text(encoding="utf-8")
    assert (
        "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
    )
    with opened(browser, path) as page:
        assert page.locator(".facts-list").inner_text().count("odc_lenet5_digits") >= 1
        assert "k-NN accuracy" in page.locator(".figures").inner_text()
        titles = page.locator("#chart-grid h3").all_inner_texts()
        assert {"Loss", "Change ratio", "NMI to the clusters before", "Images per second"} <= {
            *titles
        }
        assert page.locator("#chart-grid path.line").count() >= len(titles)
        assert page.locator("#cluster-count").inner_text() == "20 of 20 clusters"
        first = page.locator("#cluster-list .cluster-row").first
        assert first.locator(".group-name").all_inner_texts() == ["nearest", "median", "farthest"]
        assert first.locator(".thumb").count() == 12
        page.wait_for_timeout(200)
        assert num_colors(first.locator(".picture").first) > 10
        assert no_sideways(page)


def test_a_curve_tells_its_values(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        chart = page.locator("#chart-grid svg").first
        settled(page, chart)
        chart.hover()
        assert page.locator("#tip").is_visible()
        assert "loss" in page.locator("#tip").inner_text()
        page.mouse.move(0, 0)
        chart.focus()
        page.keyboard.press("Home")
        assert page.locator("#tip strong").inner_text() == "iteration 10"
        page.keyboard.press("ArrowRight")
        assert page.locator("#tip strong").inner_text() == "iteration 20"


def test_search_and_sorting(browser, work_dir):
    # R55: sheets of chosen ids
    with opened(browser, work_dir / "report.html") as page:
        sizes = page.evaluate("Array.from(clusters.sizes)")
        page.select_option("#cluster-sort", "size")
        page.click("#cluster-direction")
        assert page.locator("#cluster-direction").inner_text() == "Largest first"
        opener = page.locator("#cluster-list .cluster-row button").first
        assert opener.inner_text() == f"Cluster {sizes.index(max(sizes))}"
        page.fill("#cluster-search", "7")
        page.select_option("#cluster-scope", "id")
        page.wait_for_timeout(250)
        found = page.locator("#cluster-list button").all_inner_texts()
        assert "Cluster 7" in found and len(found) < 3
        page.select_option("#cluster-scope", "file")
        page.fill("#cluster-search", "train/1234")
        page.wait_for_timeout(250)
        cluster = page.evaluate("samples.clusters[1234]")
        assert page.locator("#cluster-list button").inner_text() == f"Cluster {cluster}"
        assert "1 file, such as train/1234" in page.locator(".cluster-row").inner_text()
        page.select_option("#cluster-scope", "class")
        page.fill("#cluster-search", "3")
        page.wait_for_timeout(250)
        names = page.locator("#cluster-list .bar-name").all_inner_texts()
        assert names and all(" % 3, entropy " in name for name in names)
        page.fill("#cluster-search", "no such thing")
        page.wait_for_selector(".nothing")


def test_a_cluster_opens_with_all_its_images(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        page.locator("#cluster-list button").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("#details-title").inner_text() == "Cluster 0"
        size = page.evaluate("clusters.sizes[0]")
        assert f"{size} images" in page.locator("#details-body").inner_text()
        assert 5 < page.locator("#details .member").count() <= size
        page.locator("#details button", has_text="Next").click()
        assert page.locator("#details-title").inner_text() == "Cluster 1"
        page.keyboard.press("Escape")
        assert not page.locator("#details").is_visible()


def test_rows_exist_while_they_are_in_sight(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        count = "document.querySelectorAll('#cluster-list .cluster-row').length"
        assert page.evaluate(count) < 15
        page.eval_on_selector("#cluster-list", "box => { box.scrollTop = box.scrollHeight; }")
        page.wait_for_selector("#cluster-list button:text-is('Cluster 19')")
        assert page.evaluate(count) < 15


def test_two_epochs(browser, work_dir):
    # members that stayed, came and left, counted from the files themselves
    labels = {epoch: np.load(work_dir / f"labels_epoch_{epoch}.npy") for epoch in (2, 4)}
    with opened(browser, work_dir / "report.html") as page:
        names = page.locator("#epoch-a option").all_inner_texts()
        assert names[:4] == [f"epoch {epoch}" for epoch in (1, 2, 3, 4)]
        page.select_option("#epoch-a", label="epoch 2")
        page.select_option("#epoch-b", label="epoch 4")
        page.select_option("#epoch-sort", "size")
        pair = page.evaluate("epochView.pairs[0]")
        before, after = labels[2] == pair["a"], labels[4] == pair["b"]
        assert pair["sizeA"] == before.sum() and pair["sizeB"] == after.sum()
        assert pair["stayed"] == (before & after).sum()
        assert pair["sizeB"] == np.bincount(labels[4]).max()
        row = page.locator("#epoch-list .epoch-row").first
        assert f"{pair['stayed']} stayed" in row.inner_text()
        row.locator("button").click()
        came = int((after & ~before).sum())
        assert f"Came after epoch 2: {came}" in page.locator("#details-body").inner_text()
        # an epoch against itself: nothing moves
        page.keyboard.press("Escape")
        page.select_option("#epoch-a", label="epoch 4")
        assert page.locator("#epoch-summary").inner_text().startswith("100 % of the images")


def test_map_and_neighbours(browser, work_dir):
    # R33, R69: a thumbnail where the pointer is, or where the keys lead
    with opened(browser, work_dir / "report.html") as page:
        settled(page, page.locator("#map-canvas"))
        assert page.evaluate("featureMap.count") == 1437
        box = page.locator("#map-canvas").bounding_box()
        x, y = page.evaluate("featureMap.place(100)")
        page.mouse.move(box["x"] + x, box["y"] + y)
        assert page.locator("#tip .thumb").is_visible()
        page.wait_for_timeout(100)
        assert num_colors(page.locator("#tip .picture")) > 5
        assert num_colors(page.locator("#map-canvas")) > 20
        said = page.locator("#map-said").inner_text()
        page.locator("#map-canvas").focus()
        page.keyboard.press("ArrowRight")
        assert page.locator("#map-said").inner_text() != said
        page.click("#map-in")
        assert page.evaluate("featureMap.scale") == pytest.approx(1.6)
        page.select_option("#map-color", "class")
        assert page.locator("#map-legend button").count() == 10
        page.fill("#map-highlight", "7")
        lit = page.evaluate(
            "[...featureMap.groups].flatMap(([id, group]) => group.lit ? [id] : [])"
        )
        assert lit == [7]
        assert page.locator(".neighbor-row").count() == 12
        assert page.locator(".neighbor-row").first.locator(".thumb").count() == 9


def test_a_large_run_names_what_it_shows(browser, work_dir, tmp_path, monkeypatch):
    rows = list(csv.DictReader((work_dir / "samples.csv").open()))
    monkeypatch.setattr("mmdeepcluster.apis.run_reports.values.MOST_NAMED", len(rows) - 1)
    monkeypatch.setattr("mmdeepcluster.apis.run_reports.files.MAX_LABELS", 3 * len(rows))
    path = write_report(work_dir, tmp_path / "large.html", map_images=40, images_per_cluster=3)
    with opened(browser, path) as page:
        assert (
            "samples.csv has all" in page.locator("section[aria-labelledby=clusters]").inner_text()
        )
        epochs = page.locator("#epoch-a option").all_inner_texts()
        assert sum(name.startswith("epoch ") for name in epochs) == 3
        named = page.evaluate("Array.from(samples.named)")
        assert 40 <= len(named) <= 40 + 3 * 20
        held = page.evaluate("Array.from(samples.named, (i) => samples.name(i))")
        assert held == [rows[sample]["path"] for sample in named]
        other = min(set(range(len(rows))) - set(named))
        assert page.evaluate(f"samples.name({other})") == f"image {other}"
        # a name is found in the cluster that its image is in
        page.select_option("#cluster-scope", "file")
        page.fill("#cluster-search", held[-1])
        page.locator("#cluster-list .note", has_text="such as").first.wait_for()
        matches = page.evaluate("[...clusterBrowser.matches.values()]")
        assert {"count": 1, "first": named[-1]} in matches
        clusters = page.evaluate("[...clusterBrowser.matches.keys()]")
        assert int(rows[named[-1]]["cluster"]) in clusters


def test_neighbours_are_the_nearest(browser, work_dir):
    # the cosine of a pair is that of features extracted by another tool
    from mmdeepcluster.apis import extract_features

    checkpoint = work_dir / "epoch_4.pth"
    extract_features(DIGITS, checkpoint, out=work_dir / "features", options={})
    rows = np.load(work_dir / "features" / "features.npy")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with opened(browser, work_dir / "report.html") as page:
        found = page.evaluate(
            "['queries', 'neighbors', 'cosines']"
            ".map(name => Array.from(unpacked(report.neighbors[name])))"
        )
    queries, neighbors, cosines = (np.array(part) for part in found)
    for query, chosen, shown in zip(
        queries, neighbors.reshape(12, -1), cosines.reshape(12, -1), strict=True
    ):
        similar = rows @ rows[query]
        similar[query] = -1
        assert shown == pytest.approx(np.sort(similar)[::-1][: len(shown)], abs=1e-4)
        assert similar[chosen] == pytest.approx(shown, abs=1e-4)


def test_classes_and_sizes(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        assert page.locator("#sizes-chart rect.bar").count() > 5
        assert "equal sizes" in page.locator("#sizes-chart").inner_text()
        page.locator("#heat-canvas").focus()
        page.keyboard.press("ArrowDown")
        assert "images" in page.locator("#heat-said").inner_text()
        total = page.evaluate("heatMap.table.reduce((a, b) => a + b, 0)")
        assert total == 1437
        page.keyboard.press("Enter")
        assert page.locator("#details").is_visible()


def test_all_controls_are_reached_by_the_keyboard(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        wanted = page.evaluate(
            """[...document.querySelectorAll(
                'input, select, nav button, nav a, .controls button, canvas[tabindex], '
                + 'svg[tabindex], .list, summary')]
            .filter(e => e.getClientRects().length).map((e, i) => (e.dataset.number = i))"""
        )
        assert len(wanted) > 30
        reached = set()
        for _ in range(400):
            page.keyboard.press("Tab")
            number = page.evaluate("document.activeElement.dataset.number")
            if number is not None:
                reached.add(int(number))
            if len(reached) == len(wanted):
                break
        assert reached == set(wanted)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(browser, work_dir, scheme):
    with opened(browser, work_dir / "report.html", 390, 844, scheme) as page:
        assert no_sideways(page)
        rows = page.locator("#cluster-list .cluster-row")
        inside = page.locator("#cluster-list").bounding_box()
        for thumb in rows.first.locator(".thumb").all():
            box = thumb.bounding_box()
            assert box["x"] + box["width"] <= inside["x"] + inside["width"]
        assert rows.first.evaluate("row => row.scrollHeight <= row.clientHeight + 1")
        settled(page, page.locator("#map-canvas"))
        box = page.locator("#map-canvas").bounding_box()
        x, y = page.evaluate("featureMap.place(5)")
        page.touchscreen.tap(box["x"] + x, box["y"] + y)
        assert page.locator("#tip .thumb").is_visible()


def test_paper_shows_clusters(browser, work_dir):
    with opened(browser, work_dir / "report.html") as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("#cluster-print .cluster-row").count() == 20
        assert not page.locator("#cluster-list").is_visible()
        assert not page.locator("nav").is_visible()


def copied(work_dir, target, *without):
    shutil.copytree(work_dir, target)
    for pattern in without:
        for path in target.glob(pattern):
            path.unlink()
    return target


def test_a_run_that_was_interrupted(browser, work_dir, tmp_path):
    # no samples.csv, one saved epoch: the page says so and shows the rest
    folder = copied(work_dir, tmp_path / "run", "samples.csv", "report.*", "labels_epoch_[123].npy")
    with opened(browser, write_report(folder, with_map=False)) as page:
        text = page.locator("main").inner_text()
        assert (
            "There is no samples.csv: the training has not ended; clusters are the labels of"
            in text
        )
        assert "No figures: there is no report.json" in text
        assert "Not shown: left out by --no-map" in text
        assert "there is one clustering alone (epoch 4)" in text
        assert page.locator(".cluster-row .group-name").first.inner_text() == "drawn at random"
        assert page.locator("#cluster-count").inner_text() == "20 of 20 clusters"


def test_a_run_without_images_and_checkpoints(browser, work_dir, tmp_path):
    folder = copied(work_dir, tmp_path / "run", "*.pth", "last_checkpoint", "*.py")
    for path in folder.glob("*/vis_data/config.py"):
        path.unlink()
    with opened(browser, write_report(folder)) as page:
        text = page.locator("main").inner_text()
        assert "no config lies in the work dir" in text
        assert "Not shown: it needs the images" in text
        assert page.locator(".cluster-row").count() > 3 and page.locator(".thumb").count() == 0


def test_a_run_killed_in_its_first_epoch(browser, work_dir, tmp_path):
    folder = tmp_path / "run"
    vis = folder / "20260101_000000" / "vis_data"
    vis.mkdir(parents=True)
    (vis / "scalars.json").write_text('{"loss": 3.0, "step": 10}\n{"loss": 2.')
    with opened(browser, write_report(folder)) as page:
        assert page.locator("#chart-grid h3").all_inner_texts() == ["Loss"]
        assert "no clusters are known" in page.locator("main").inner_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/folder"], "/no/such/folder is no folder"),
        (["{empty}"], "has no <timestamp>/vis_data/scalars.json"),
        (["{run}", "--map-method", "pca"], "--map-method: method must be one of tsne, umap"),
        (["{run}", "--map-images", "3"], "--map-images 3: a map needs at least 4 images"),
        (["{run}", "--images-per-cluster", "2"], "--images-per-cluster must be between 3 and 100"),
        (["{run}", "--thumb-size", "4"], "--thumb-size must be between 8 and 256, got 4"),
        (["{run}", "--no-map", "--out", "{empty}"], "is a folder, give a file"),
    ],
)
def test_one_line_of_error(work_dir, tmp_path, arguments, words):
    arguments = [text.format(empty=tmp_path, run=work_dir) for text in arguments]
    last = run_here("report.py", *arguments)
    assert last.startswith("error: ") and words in last


def test_the_tool_writes_where_it_is_told(work_dir, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert run_here("report.py", work_dir, "--out", out, "--no-map", "--thumb-size", "8") is None
    assert out.stat().st_size > 50_000
    assert f"{out}: " in capsys.readouterr().out


@pytest.mark.slow
def test_photographs(browser, tmp_path):
    """R55 with real photographs: links to the files, thumbnails, no sideways scrolling."""
    data = os.environ.get("MMDEEPCLUSTER_DATA")
    if not data or not Path(data, "imagenette224").is_dir():
        pytest.skip("MMDEEPCLUSTER_DATA has no imagenette224")
    root = Path(data) / "imagenette224" / "train"
    options = {
        **SHORT,
        "data_root": str(root),
        "dataset.labels": "folder",
        "train_cfg.max_epochs": 2,
        "model.num_clusters": 30,
    }
    config = ROOT / "configs/odc/odc_convnet_cifar10.py"
    train(config, work_dir=tmp_path / "run", options=options)
    path = tmp_path / "run" / "report.html"
    with opened(browser, path) as page:
        link = page.locator("#cluster-list a.thumb").first.get_attribute("href")
        assert link.startswith("file:///") and Path(link.removeprefix("file://")).is_file()
        page.wait_for_timeout(300)
        assert num_colors(page.locator("#cluster-list .picture").first) > 100
        assert no_sideways(page)
    relative = write_report(tmp_path / "run", with_map=False, relative_links=True)
    with opened(browser, relative) as page:
        link = page.locator("#cluster-list a.thumb").first.get_attribute("href")
        assert (relative.parent / link).is_file()
