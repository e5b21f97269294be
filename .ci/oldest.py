"""Print the oldest version of each package that pyproject.toml admits, as constraints for pip."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
oldest = dict(re.match(r"([\w-]+)>=([\w.]+)", dependency).groups() for dependency in project["dependencies"])
oldest["jaxlib"] = oldest["jax"]
for name, version in oldest.items():
    print(f"{name}=={version}")
