{%- from 'flink/map.jinja' import facts with context %}
{%- set program = facts.flink_program_directory ~ '/record-applied' %}
{%- set where = '--state=' ~ facts.flink_state_directory ~ ' --cluster=' ~ facts.flink_cluster ~ ' --lock=' ~ facts.flink_lock_digest %}
{%- set default = facts.flink_version if 'client' in facts.flink_components else '' %}
{%- set history = facts.flink_history_version if 'history_server' in facts.flink_components else '' %}
{%- set client = '--home=' ~ facts.flink_home ~ ' --default=' ~ default %}
{%- set server = '--history-home=' ~ facts.flink_history_home ~ ' --history=' ~ history %}
{%- set versions = facts.flink_releases | map(attribute='version') | join(' ') %}
{%- set said = where ~ ' ' ~ client ~ ' ' ~ server ~ ' ' ~ versions %}
# Last: what stands in the record is there.
flink-record-applied:
  cmd.run:
    - name: {{ program }} {{ said }}
    - unless: {{ program }} --check {{ said }}
    - require:
      - sls: flink.install
{%- for component in facts.flink_components %}
      - sls: flink.{{ component }}
{%- endfor %}
