{%- from 'flink/map.jinja' import facts with context %}
{%- if facts.flink_components %}
include:
  - flink.install
{%- for component in facts.flink_components %}
  - flink.{{ component }}
{%- endfor %}
  - flink.record
{%- endif %}
