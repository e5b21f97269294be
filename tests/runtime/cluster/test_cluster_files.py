"""The files of examples/cluster are what Dask, SLURM and Kubernetes take; draining is done to real workers."""

import importlib.util
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from threading import Thread

import dask
import pytest
import yaml
from distributed import Client
from distributed.cli import dask_scheduler, dask_worker
from distributed.security import Security
from processes import Watching, cluster, images, plan_of

import lnet
from lnet.cli import main
from lnet.runtime.cluster.transport.connect import workers_of

FILES = Path(__file__).parents[3] / "examples" / "cluster"


def test_tls_is_configured_by_names_that_dask_knows():
    asked = yaml.safe_load((FILES / "dask-tls.yaml").read_text())
    assert not unknown(asked, dask.config.config)
    with dask.config.set(dask.config.merge(dask.config.config, asked)):
        security = Security()
    assert security.require_encryption
    for role in ("scheduler", "worker", "client"):
        found = security.get_tls_config_for_role(role)
        assert found["ca_file"] == "/etc/lnet/ca.pem"
        assert found["cert"] == "/etc/lnet/cert.pem"
        assert found["key"] == "/etc/lnet/key.pem"


def unknown(asked, known):
    """The keys that a configuration asks for and Dask has no default of."""
    if not isinstance(asked, dict):
        return []
    lost = [key for key in asked if key not in known]
    return lost + [name for key in asked if key in known for name in unknown(asked[key], known[key])]


def test_kubernetes_runs_one_image_on_one_volume():
    made, job = yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
    assert (made["kind"], job["kind"]) == ("DaskCluster", "Job")
    pods = [
        made["spec"]["scheduler"]["spec"],
        made["spec"]["worker"]["spec"],
        job["spec"]["template"]["spec"],
    ]
    containers = [container for pod in pods for container in pod["containers"]]
    assert len({container["image"] for container in containers}) == 1
    assert [container["volumeMounts"][0]["mountPath"] for container in containers] == ["/data"] * 3
    assert len({pod["volumes"][0]["persistentVolumeClaim"]["claimName"] for pod in pods}) == 1
    assert all(isinstance(word, str) for container in containers for word in container["args"])
    assert f"tcp://{made['metadata']['name']}-scheduler:8786" in containers[2]["args"][0]


# --- systemd -------------------------------------------------------------------------------------------------------

UNITS = ["lnet-scheduler.service", "lnet-worker@.service", "lnet-run@.service"]


def service(name):
    """The section of a unit that says what is started and when again, for the instance 'one'."""
    unit = ConfigParser(interpolation=None, delimiters=("=",))
    unit.optionxform = str
    unit.read_string((FILES / name).read_text().replace("\\\n", "").replace("%i", "one"))
    return dict(unit["Service"])


@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_units(tmp_path, name):
    unit = tmp_path / name
    programs = Path(sys.executable).parent
    unit.write_text((FILES / name).read_text().replace("/opt/lnet/bin", str(programs)))
    assert service(name)["User"] == "lnet"
    if shutil.which("systemd-analyze") is not None:
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
        assert name.partition("@")[0].removesuffix(".service") not in done.stderr
        assert done.returncode == 0, done.stderr


def test_services_of_dask_are_started_again_whatever_their_end():
    started = {name: service(name) for name in UNITS[:2]}
    assert [unit["Restart"] for unit in started.values()] == ["always", "always"]
    for program, unit in zip((dask_scheduler.main, dask_worker.main), started.values(), strict=True):
        _, _, *arguments = shlex.split(unit["ExecStart"])
        program.make_context("dask", arguments)  # every option is one of Dask's


@pytest.mark.parametrize("begun", [False, True])
def test_the_service_of_a_run_goes_on_with_what_there_is(tmp_path, begun):
    """What its shell is given, with a program in lnetc's place that prints what it is asked."""
    unit = service("lnet-run@.service")
    assert (unit["Restart"], unit["SuccessExitStatus"]) == ("on-abnormal", "130")
    program = tmp_path / "bin" / "lnetc"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    if begun:
        (tmp_path / "runs" / "one").mkdir(parents=True)
        (tmp_path / "runs" / "one" / "run.json").touch()
    line = unit["ExecStart"].replace("/opt/lnet/bin", str(program.parent)).replace("/shared", str(tmp_path))
    command = shlex.split(line.replace("${LNET_SCHEDULER}", "tcp://head:8786"))
    asked = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    context = main.commands[asked[0]].make_context("lnetc", asked[1:])
    assert asked[0] == ("resume" if begun else "run")
    assert context.params["directory"] == tmp_path / "runs" / "one"
    assert (context.params["cluster"], context.params["wait"]) == ("tcp://head:8786", float("inf"))


@pytest.mark.parametrize("name", ["slurm.py", "drain.py"])
def test_programs_compile(name):
    compile((FILES / name).read_text(), name, "exec")


@pytest.mark.slow
def test_a_worker_is_drained_while_a_run_goes_on(tmp_path):
    spec = importlib.util.spec_from_file_location("drain", FILES / "drain.py")
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    with cluster(3) as client:

        def drain():
            with Client(client.scheduler.address) as other:
                for run in other.run_on_scheduler(program.runs_on):
                    program.drain(other, run, "worker-0")
                other.retire_workers(names=["worker-0"])

        away = Thread(target=drain)
        watching = Watching({5: away.start}, until=lambda: watching.logged("drained"))
        with pytest.raises(lnet.Interrupted):
            lnet.train(
                plan_of(steps=10**5), images(), directory=tmp_path / "run", client=client, reporter=watching
            )
        away.join()
        names = {worker["name"] for worker in workers_of(client).values()}
    assert "worker-0" not in names
