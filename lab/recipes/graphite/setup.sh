#!/bin/sh
set -eu
sed -i 's/^CARBON_CACHE_ENABLED=.*/CARBON_CACHE_ENABLED=true/' /etc/default/graphite-carbon
printf "SECRET_KEY = '%s'\n" "$(tr -dc a-f0-9 </dev/urandom | head -c 64)" >>/etc/graphite/local_settings.py
graphite-manage migrate --run-syncdb -v 0
chown _graphite:_graphite /var/lib/graphite/graphite.db
chown -R _graphite:_graphite /var/log/graphite
systemctl enable --quiet carbon-cache.service graphite-web.service
