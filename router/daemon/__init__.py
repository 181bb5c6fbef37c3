"""The router's main process: its workers, what they learn of the cluster, what they report."""
