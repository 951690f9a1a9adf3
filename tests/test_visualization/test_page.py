"""Pages that are one file (R55): nothing is fetched, and no text can end what it stands in."""

import json
import re

import pytest

from mmdeepcluster.visualization import html_page


def test_data_cannot_end_its_element():
    value = {"name": "</script><b>&", "numbers": [1, 2.5, None]}
    page = html_page("a < b", "<main></main>", data={"run": value})
    (held,) = re.findall(r'<script type="application/json" id="data-run">(.*?)</script>', page)
    assert json.loads(held) == value
    assert "<title>a &lt; b</title>" in page and "pageData" in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_what_json_does_not_know_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        html_page("t", "", data={"x": float("nan")})


def test_names_that_are_no_unicode_can_be_written():
    odd = "caf\udce9.jpg"
    page = html_page(odd, f"<p>{odd}</p>", data={"name": odd})
    assert "<title>caf?.jpg</title>" in page and "<p>caf?.jpg</p>" in page
    (held,) = re.findall(r'id="data-name">(.*?)</script>', page.encode("utf-8").decode())
    assert json.loads(held) == odd
