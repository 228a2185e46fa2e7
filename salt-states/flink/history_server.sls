{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files, links %}
{%- set read_by_it = (facts.flink_files + facts.flink_links) | selectattr('notify', 'equalto', 'history_server') | map(attribute='destination') | list %}
{%- set stale = facts.flink_program_directory ~ '/unit-stale flink-history-server.service ' ~ read_by_it | join(' ') %}
include:
  - flink.install

{{ files(facts, common, 'history_server') }}

{{ links(facts, 'history_server', ['flink-install-release-' ~ facts.flink_history_version]) }}

# A run that was ended before its restart has left files that the server has not read.
flink-history_server-stale:
  cmd.run:
    - name: {{ stale }}
    - onlyif: {{ stale }}

# A state of its own: where service.running enables a service, Salt takes that for its change and
# leaves out the restart that `watch` asks for.
flink-history_server-enabled:
  service.enabled:
    - name: flink-history-server

flink-history_server-service:
  service.running:
    - name: flink-history-server
    - watch:
      - cmd: flink-history_server-stale
{%- for path in read_by_it %}
      - file: flink-history_server-{{ path }}
{%- endfor %}

{% if not opts.test %}
flink-history_server-ready:
  cmd.run:
    - name: >-
        {{ facts.flink_program_directory }}/history-server-ready
        --version={{ facts.flink_history_version }}
        --address={{ facts.flink_history_address }}
        --port={{ facts.flink_history_port }}
        --logs={{ facts.flink_log_directory }}
    - stateful: true
    - require:
      - service: flink-history_server-service
{% endif %}
