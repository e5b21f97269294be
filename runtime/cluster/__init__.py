"""Training on a Dask cluster: `protocol` decides, `actors` perform, `transport` carries, `monitor` shows."""
