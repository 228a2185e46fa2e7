{%- from 'yarn_queues/map.jinja' import facts with context %}
{%- if 'policy' in facts.yarn_queues_components %}
include:
  - yarn_queues.policy
{%- endif %}
