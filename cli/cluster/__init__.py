"""Running a whole cluster on this machine: what `clusterctl up` does once it knows which cluster is meant."""
