"""Tools that compare networks with brains read an exported run, as the guide shows; in an environment of their own.

Their numpy is older than lnet's. `make frameworks` sets up `.venv-brains` with Brain-Score; the versions of packages that
thingsvision and Net2Brain ask for exclude others, and they are tried where somebody has installed them there.
"""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_run import furnish, plan_of

import lnet

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-brains" / "bin" / "python"
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "guide.md").read_text(), re.DOTALL)
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-brains: make frameworks")

READ = {
    "brainscore_vision": """
import numpy, sys
from pathlib import Path
found = model(sorted(map(str, Path("images").glob("*.png"))), layers=["V1.filter", "V2.norm"])
numpy.savez("found.npz", **{name: found.values[:, found["layer"].values == name] for name in ("V1.filter", "V2.norm")})
""",
    "thingsvision": """
import numpy
found = {name: extractor.extract_features(batches, module_name=name, flatten_acts=True) for name in ("V1.filter", "V2.norm")}
numpy.savez("found.npz", **found)
""",
    "net2brain": """
import numpy
from pathlib import Path
names = ["V1.filter", "V2.norm"]
extractor.extract("images", "features", layers_to_extract=names, consolidate_per_layer=False)
files = [numpy.load(path) for path in sorted(Path("features").glob("*.npz"))]
numpy.savez("found.npz", **{name: numpy.stack([file[name].reshape(-1) for file in files]) for name in names})
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = furnish(tmp_path_factory.mktemp("brains"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lnet.export_torch(lnet.train(plan_of(folder), directory="run").network(), "first.py")
    return folder


@pytest.mark.parametrize("tool", READ)
def test_a_tool_reads_a_run(tool, folder):
    (block,) = (block for block in BLOCKS if f"from {tool}" in block)
    if subprocess.run(
        [PYTHON, "-c", f"import torchvision, {tool}"], capture_output=True, check=False
    ).returncode:
        pytest.skip(f"{tool} is not in .venv-brains")
    (folder / "program.py").write_text(f"import torchvision\n{block}{READ[tool]}")
    done = subprocess.run([PYTHON, "program.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    network = lnet.open_run(folder / "run").network()
    pixels = [np.asarray(Image.open(path))[..., None] for path in sorted(folder.glob("images/*.png"))]
    expected = network(lnet.prepare(pixels, network))
    with np.load(folder / "found.npz") as found:
        for name in found:
            value = np.moveaxis(expected[name], 3, 1).reshape(len(pixels), -1)
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.abs(value).max())
