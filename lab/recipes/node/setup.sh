#!/bin/sh
# Runs once inside the image, after its packages and files are there.
set -eu
# Debian's own would read the journal of a container; nothing here needs it.
systemctl mask --quiet rsyslog.service
# On a PNDA host the platform makes it, for its NodeManager.
install -d -m 0755 /var/log/pnda /var/log/pnda/hadoop-yarn
install -d -m 0755 -o yarn -g hadoop /var/log/pnda/hadoop-yarn/container
