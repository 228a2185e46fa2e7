{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files %}
include:
  - flink.install

{{ files(facts, common, 'housekeeping') }}

# Also where a run before this one was ended after writing the units, or where systemd still lists one
# that had failed and was removed.
flink-housekeeping-reload:
  cmd.run:
    - name: systemctl daemon-reload
    - onlyif: systemctl show --property=NeedDaemonReload,LoadState flink-housekeeping.timer flink-housekeeping.service | grep -qE '=(yes|not-found|error)$'
    - require:
{%- for file in facts.flink_files if file.component == 'housekeeping' %}
      - file: flink-housekeeping-{{ file.destination }}
{%- endfor %}

flink-housekeeping-timer:
  service.running:
    - name: flink-housekeeping.timer
    - enable: true
    - require:
      - cmd: flink-housekeeping-reload
