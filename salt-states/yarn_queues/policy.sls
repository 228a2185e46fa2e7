{%- from 'yarn_queues/map.jinja' import facts, common with context %}
{%- from 'yarn_queues/macros.jinja' import files %}
{{ files(facts, common, 'policy') }}
