"""The wheel in an environment of its own: it installs, and compiles an example."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    (path,) = folder.glob("lnetc-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_all_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("dsl", "compiler", "runtime"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".lark", ".html", ".css", ".js"):
                assert f"lnet/{path.relative_to(ROOT)}" in names
    assert {"lnet/py.typed", "lnet/cli/__init__.py", "lnet/__init__.py"} <= names
    assert not [
        name for name in names if name.startswith(("dsl/", "compiler/", "runtime/", "tests/", "examples/"))
    ]


@pytest.mark.slow
def test_an_empty_environment_compiles_an_example(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    install = [
        binaries / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=900)
    model = ROOT / "examples" / "catface" / "model.lnet"
    done = subprocess.run(
        [binaries / "lnetc", "compile", model, "-o", "catface.plan"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("catface.plan: network catface: 10 layers, 2,289,726,144 parameters")
    code = "import lnet; p = lnet.load_plan('catface.plan'); print(lnet.__file__, p.graph.name)"
    done = subprocess.run(
        [binaries / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert str(tmp_path) in done.stdout
    assert done.stdout.split()[-1] == "catface"
