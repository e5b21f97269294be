"""Runs in other programs' trackers of experiments, from their logs, which a cluster's runs have likewise.

    events.jsonl --> feed.py --> Tracker (tracker.py) --> services/: TensorBoard, Weights & Biases, MLflow, trackio
                        |
                        +--> RUN/tracked/: how far each service has it (position.py)

`track.py` sends what a service does not have yet, once or again and again while the run goes on. Training knows nothing of
it: a service that fails ends the process that sends, not the run.
"""
