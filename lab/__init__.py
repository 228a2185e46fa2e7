"""The Docker lab: a cluster of containers with systemd, built from Debian packages, that runs real jobs."""
