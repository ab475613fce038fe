"""Packaging. Dependencies come from requirements.txt (GPU) and requirements-cpu.txt (CPU), which pin every version.

`pip install -e .[cpu,dev]` or `pip install -e .[gpu,dev]`; `bash experiments/setup.sh` chooses and installs by itself.
"""
from pathlib import Path

from setuptools import Extension, find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_requirements(name):
    """The requirements of a file as {heading: [line, ...]}; a comment line after an empty line is a heading."""
    sections, heading, previous = {"": []}, "", "start"
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            if not previous:
                heading = line.lstrip("# ")
                sections[heading] = []
        elif line.strip():
            sections[heading].append(line.strip())
        previous = line.strip()
    return sections


def collect(sections, start):
    """All lines of the sections whose heading starts with `start`."""
    return [line for heading, lines in sections.items() if heading.startswith(start) for line in lines]


NATIVE = "cian/inference/native"
CPU, GPU = read_requirements("requirements-cpu.txt"), read_requirements("requirements.txt")

setup(
    name="cian",
    version="0.1.0",
    description="Cross-Image Affinity Net for weakly supervised semantic segmentation, in MXNet/Gluon",
    license="MIT",
    python_requires=">=3.8,<3.13",
    packages=find_packages(include=["cian", "cian.*"]),
    package_data={"cian": ["py.typed"], "cian.figures": ["page/*"]},
    entry_points={"console_scripts": ["cian=cian.__main__:main"]},
    # Optional: without a compiler that takes it, the pruned CRF uses pydensecrf, slower.
    ext_modules=[Extension("cian.inference._mean_field", [f"{NATIVE}/mean_field.cpp"], depends=[f"{NATIVE}/permutohedral.h"],
                           extra_compile_args=["-O3", "-std=c++14"], language="c++", optional=True)],
    install_requires=[line for heading, lines in CPU.items() for line in lines
                      if heading and not heading.startswith(("ONNX", "TensorBoard", "Tests", "What builds"))],
    extras_require={
        "cpu": CPU[""],
        "gpu": GPU[""],
        "dev": collect(CPU, "Tests") + collect(CPU, "ONNX") + collect(CPU, "TensorBoard"),
        "onnx": collect(CPU, "ONNX"),
        "tensorboard": collect(CPU, "TensorBoard"),
    },
)
