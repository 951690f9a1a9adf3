"""Installs mmdeepcluster; the dependencies stand in ``requirements/*.txt``."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

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


class BuildWithConfigs(build_py):
    """Puts configs and tools into the package, under ``.mim`` as OpenMMLab's packages do."""

    def run(self) -> None:
        """Builds, then copies; an editable install finds them in the checkout."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "mmdeepcluster" / ".mim"
        shutil.rmtree(target, ignore_errors=True)
        unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
        for folder in ("configs", "tools"):
            shutil.copytree(ROOT / folder, target / folder, ignore=unwanted)
        shutil.copy(ROOT / "model-index.yml", target)


setup(
    name="mmdeepcluster",
    version=version(),
    description="Deep clustering: learning visual representations and clusters without labels",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["mmdeepcluster", "mmdeepcluster.*"]),
    package_data={"mmdeepcluster": ["py.typed", "evaluation/*.yaml", "visualization/assets/*"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=requirements("runtime"),
    extras_require={
        name: requirements(name) for name in ("docs", "faiss", "faiss_gpu", "tests", "optional")
    },
)
