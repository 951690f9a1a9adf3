"""Installs mmdeepcluster; the dependencies stand in ``requirements/*.txt``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Reads ``requirements/<name>.txt`` without comments and blank lines."""
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def version() -> str:
    """Reads the version without importing the package."""
    text = (ROOT / "mmdeepcluster" / "version.py").read_text(encoding="utf-8")
    match = re.search(r'__version__ = "([^"]+)"', text)
    if match is None:
        raise RuntimeError("mmdeepcluster/version.py has no __version__")
    return match.group(1)


setup(
    name="mmdeepcluster",
    version=version(),
    description="Deep clustering: learning visual representations and clusters without labels",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["mmdeepcluster", "mmdeepcluster.*"]),
    package_data={"mmdeepcluster": ["py.typed", "evaluation/*.yaml"]},
    install_requires=requirements("runtime"),
    extras_require={
        name: requirements(name) for name in ("faiss", "faiss_gpu", "tests", "optional")
    },
)
