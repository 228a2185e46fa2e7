#!/bin/sh
# Runs once inside the image, after its packages and files are there.
set -eu
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
# What needs real hardware or a real network manager only costs time in a container.
systemctl mask --quiet getty.target console-getty.service systemd-logind.service systemd-udevd.service \
    systemd-networkd.service systemd-resolved.service systemd-timesyncd.service apt-daily.timer \
    apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer
systemctl enable --quiet ssh.service lab-resolver.service
# The users that play YARN's containers and the person who submits jobs; fixed ids, because the
# volume that plays HDFS is shared by several containers.
groupadd --gid 1500 hadoop
useradd --uid 1501 --gid hadoop --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin yarn
useradd --uid 1502 --create-home --shell /bin/bash --user-group pnda
# Left out with the manual pages, but Java's alternatives want it.
mkdir -p /usr/share/man/man1
