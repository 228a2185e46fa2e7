{%- from 'yarn_queues/map.jinja' import facts with context %}
{%- if facts.yarn_queues_components %}
include:
{%- for component in facts.yarn_queues_components %}
  - yarn_queues.{{ component }}
{%- endfor %}
{%- endif %}
