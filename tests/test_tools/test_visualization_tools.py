"""The pages of the visual tools in a browser, and what their command lines refuse (R55)."""

import pytest
from tool_runs import run_here

ODC = "configs/odc/odc_lenet5_digits.py"
DEEPCLUSTER = "configs/deepcluster/deepcluster_lenet5_digits.py"
SMALL = ["--images", "48", "--steps", "1"]
VIEWS = [(1280, 800, "light"), (390, 844, "dark")]


def test_bad_input_is_one_line(tmp_path):
    tool, out = "visualization/explore_pipeline.py", tmp_path / "x.html"
    found = run_here(tool, ODC, tmp_path / "none.jpg", "--out", out)
    assert found == f"error: image {tmp_path / 'none.jpg'}: there is no such file"
    (tmp_path / "text.jpg").write_text("no image")
    found = run_here(tool, ODC, tmp_path / "text.jpg", "--out", out)
    assert found.startswith(f"error: image {tmp_path / 'text.jpg'} cannot be read")
    found = run_here(tool, ODC, "--checkpoint", tmp_path / "none.pth", "--out", out)
    assert found.startswith("error: ") and "none.pth" in found
    assert not out.exists()
    tool = "visualization/learned_features.py"
    found = run_here(tool, ODC, "--layers", "conv_9", "--out", tmp_path / "features")
    assert found == (
        "error: --layers conv_9: no such layer; there are neck, backbone, conv_1, relu_1, conv_2, "
        "relu_2, fc_1, fc_2"
    )
    assert not (tmp_path / "features").exists()


def opened(browser, path, width, height, scheme):
    """The page, and the list that its errors go to."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    errors = []
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"file://{path}")
    return page, errors


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """Pages of two methods, by config."""
    folder, pages = tmp_path_factory.mktemp("pages"), {}
    for number, config in enumerate((ODC, DEEPCLUSTER)):
        pages[config] = folder / f"{number}.html"
        tool = "visualization/explore_pipeline.py"
        assert run_here(tool, config, *SMALL, "--out", pages[config]) is None
    return pages


@pytest.mark.parametrize("config", [ODC, DEEPCLUSTER])
def test_every_stage_shows_a_figure(browser, explored, config):
    for width, height, scheme in VIEWS:
        page, errors = opened(browser, explored[config], width, height, scheme)
        stages = page.locator("section.stage")
        assert stages.count() == (12 if config == ODC else 11)
        for number in range(stages.count()):
            stage = stages.nth(number)
            sizes = stage.locator("figure:visible").evaluate_all(
                "all => all.map(f => f.getBoundingClientRect().height)"
            )
            assert sizes and min(sizes) > 20, stage.get_attribute("id")
            assert "{" not in stage.inner_text()
        broken = "imgs => imgs.filter(i => i.complete && !i.naturalWidth).length"
        assert page.locator("img").evaluate_all(broken) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert errors == []
        page.close()


def test_another_image_is_followed_by_mouse_and_keyboard(browser, explored):
    page, errors = opened(browser, explored[ODC], 1280, 800, "light")
    shown = page.locator(".own.chosen:visible")
    numbers = "all => [...new Set(all.map(p => p.dataset.own))]"
    assert shown.evaluate_all(numbers) == ["0"]
    page.locator("[data-pick='2']").click()
    assert shown.evaluate_all(numbers) == ["2"]
    page.keyboard.press("ArrowRight")
    assert shown.evaluate_all(numbers) == ["0"]
    assert page.locator("[data-pick='0']").get_attribute("aria-pressed") == "true"
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("[data-scheme-switch]").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert errors == []
    page.close()


def test_page_of_learned_features(browser, tmp_path):
    arguments = [
        "--layers",
        "relu_1",
        "fc_2",
        "--units",
        "0",
        "3",
        "--images",
        "30",
        "--steps",
        "3",
    ]
    tool = "visualization/learned_features.py"
    assert run_here(tool, ODC, *arguments, "--out", tmp_path / "out") is None
    for width, height, scheme in VIEWS:
        page, errors = opened(
            browser, tmp_path / "out/learned_features.html", width, height, scheme
        )
        assert page.locator("figure.unit").count() == 4
        assert page.locator("#filters img").count() == 1
        broken = "imgs => imgs.filter(i => !i.naturalWidth).length"
        assert page.locator("img").evaluate_all(broken) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert errors == []
        page.close()
