{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files %}
{%- set read_by_it = facts.flink_files | selectattr('notify', 'equalto', 'logs') | map(attribute='destination') | list %}
{%- set stale = facts.flink_program_directory ~ '/unit-stale pnda-flink-logs.service ' ~ read_by_it | join(' ') %}
include:
  - flink.base

{{ files(facts, common, 'logs', {'rsyslog.conf.j2': facts.flink_program_directory ~ '/log-shipping check'}) }}

# Logstash is the site's: it takes up its pipeline by itself, or is restarted by whoever runs it.
{% if facts.flink_log_shipper == 'rsyslog' %}
# A run that was ended before its restart has left files that the shipper has not read.
flink-logs-stale:
  cmd.run:
    - name: {{ stale }}
    - onlyif: {{ stale }}

# A state of its own: where service.running enables a service, Salt takes that for its change and
# leaves out the restart that `watch` asks for.
flink-logs-enabled:
  service.enabled:
    - name: pnda-flink-logs
    - require:
{%- for path in read_by_it %}
      - file: flink-logs-{{ path }}
{%- endfor %}

flink-logs-service:
  service.running:
    - name: pnda-flink-logs
    - require:
      - service: flink-logs-enabled
    - watch:
      - cmd: flink-logs-stale
{%- for path in read_by_it %}
      - file: flink-logs-{{ path }}
{%- endfor %}

{% if not opts.test %}
flink-logs-ready:
  cmd.run:
    - name: >-
        {{ facts.flink_program_directory }}/log-shipping ready pnda-flink-logs.service
        {{ facts.flink_log_container_directories | join(' ') }}
    - stateful: true
    - require:
      - service: flink-logs-service
{% endif %}
{% endif %}
