"""What other programs run of lnet's: hooks of pre-commit, and a shell that completes a command."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import lnetc

HOOKS = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
PAGE = (Path(__file__).parents[2] / "docs/editors.md").read_text()
MODEL = "network n{image:input(8x8x1);V1:lcn(3)\nlearn: l2()}\n"


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_on_the_files_of_a_commit(hook, tmp_path):
    model = tmp_path / "model.lnet"
    model.write_text(MODEL)
    assert re.search(hook["files"], str(model))
    assert not re.search(hook["files"], "model.lnet.txt")
    program, *arguments = hook["entry"].split()
    assert program == "lnetc"
    lnetc(*arguments, model)
    assert (model.read_text() != MODEL) == (hook["id"] == "lnetc-fmt"), (
        "pre-commit stops a commit of a file that changed"
    )


def test_the_page_on_editors_has_the_same_hooks():
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    shown = yaml.safe_load(block)["repos"][0]["hooks"]
    own = [{key: hook[key] for key in ("id", "name", "entry", "files")} for hook in HOOKS]
    assert [{key: value for key, value in hook.items() if key != "language"} for hook in shown] == own


def test_a_shell_completes_commands_and_options():
    def completed(*words):
        asked = {
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
            "_LNETC_COMPLETE": "bash_complete",
        }
        command = [sys.executable, "-m", "lnet"]
        return subprocess.run(
            command, env=os.environ | asked, capture_output=True, text=True, check=True
        ).stdout.split()

    assert completed("lnetc", "expl") == ["plain,explain"]
    assert completed("lnetc", "fmt", "--d") == ["plain,--diff"]
