#!/bin/sh
set -eu
useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin kafka
systemctl enable --quiet kafka.service lab-log-receiver.service
# The broker's jars are the lab's own mirror, mounted read-only.
mkdir -p /opt/kafka
ln -s /srv/lab-mirror/current/kafka/libs /opt/kafka/libs
