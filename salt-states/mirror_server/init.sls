{%- from 'mirror_server/map.jinja' import facts with context %}
{%- if 'server' in facts.mirror_server_components %}
include:
  - mirror_server.server
{%- endif %}
