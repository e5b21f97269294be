"""The files of examples/cluster are what Dask, SLURM and Kubernetes take; draining is done to real workers."""

import importlib.util
from pathlib import Path
from threading import Thread

import dask
import pytest
import yaml
from distributed import Client
from distributed.security import Security
from processes import Watching, cluster, images, plan_of

import lnet
from lnet.runtime.cluster.connect import workers_of

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
