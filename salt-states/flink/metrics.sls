{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files %}
{%- set programs = facts.flink_program_directory %}
{%- set read_by_it = facts.flink_files | selectattr('notify', 'equalto', 'metrics') | map(attribute='destination') | list %}
{%- set rules = facts.flink_carbon_configuration_directory ~ ' ' ~ facts.flink_carbon_directory %}
{%- set cache_stale = programs ~ '/unit-stale carbon-cache.service ' ~ facts.flink_carbon_directory ~ '/carbon.conf' %}
{%- set stale = programs ~ '/unit-stale pnda-carbon-aggregator.service ' ~ read_by_it | join(' ') %}
include:
  - flink.base

{{ files(facts, common, 'metrics') }}

flink-metrics-rules:
  cmd.run:
    - name: {{ programs }}/carbon-rules {{ rules }}
    - unless: {{ programs }}/carbon-rules --check {{ rules }}

# Of what carbon reads, only its settings want a restart; a run that was ended before it is seen here, too.
flink-metrics-cache:
  cmd.run:
    - name: systemctl restart carbon-cache.service
    - onlyif: {{ cache_stale }}
    - require:
      - cmd: flink-metrics-rules

flink-metrics-stale:
  cmd.run:
    - name: {{ stale }}
    - onlyif: {{ stale }}

# A state of its own: where service.running enables a service, Salt takes that for its change and
# leaves out the restart that `watch` asks for.
flink-metrics-enabled:
  service.enabled:
    - name: pnda-carbon-aggregator

flink-metrics-service:
  service.running:
    - name: pnda-carbon-aggregator
    - watch:
      - cmd: flink-metrics-stale
{%- for path in read_by_it %}
      - file: flink-metrics-{{ path }}
{%- endfor %}
{%- set ready = programs ~ '/aggregator-ready ' ~ facts.flink_metrics_port %}

{% if not opts.test %}
flink-metrics-ready:
  cmd.run:
    - name: {{ ready }}
    - unless: {{ ready }} 20
{% endif %}
