"""Which packages there are: the five folders with all that lies in them; everything else is in setup.cfg."""

from setuptools import find_packages, setup

FOLDERS = {
    "harness": "harness",
    "harness.encoders": "encoders",
    "harness.decoders": "decoders",
    "harness.benchmarks": "benchmarks",
    "harness.reports": "reports",
    "harness.configs": "configs",
}

DATA = ("yaml", "json", "safetensors", "txt", "html", "css", "js")

setup(
    package_dir=FOLDERS,
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{inner}" for inner in find_packages(folder)))
    ],
    package_data={"": [f"{at}*.{kind}" for at in ("", "*/") for kind in DATA]},
)
