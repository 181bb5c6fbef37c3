"""The demo cluster: `clusterctl up` without a file. cluster.toml, VSchemas and schemas lie beside this file."""
