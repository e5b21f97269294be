"""Keep a Dask cluster alive on SLURM, for runs to come and go: python slurm.py

It needs `pip install dask-jobqueue` beside lnetc. The scheduler runs in this process, so start it where it may stay: on
a login node, or in a long job of its own. Then, in the same folder, which all nodes must see:

    lnetc run --cluster scheduler.json
"""

from __future__ import annotations

from contextlib import suppress
from time import sleep

from dask_jobqueue import SLURMCluster

WORKERS = 20

with SLURMCluster(
    queue="cpu",
    account="vision",
    walltime="24:00:00",  # a job that ends is replaced by the next one; its roles move meanwhile
    cores=4,
    processes=1,  # one worker in a job: of several, dask-jobqueue would start none again
    memory="16GB",
    interface="ib0",
    job_script_prologue=["source .venv/bin/activate"],
    log_directory="logs",
    scheduler_options={"scheduler_file": "scheduler.json"},
) as cluster:
    print(f"the scheduler is at {cluster.scheduler_address}; Ctrl-C ends the cluster")
    with suppress(KeyboardInterrupt):
        while True:
            cluster.scale(WORKERS)  # starts jobs for those that were lost, too
            sleep(10)
