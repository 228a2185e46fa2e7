{%- from 'flink/map.jinja' import facts with context %}
include:
  - flink.base
{%- if facts.flink_releases %}
  - flink.install
{%- endif %}
{%- for component in facts.flink_components %}
  - flink.{{ component }}
{%- endfor %}
{%- if facts.flink_releases %}
  - flink.record
{%- endif %}
