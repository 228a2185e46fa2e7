{%- from 'mirror_server/map.jinja' import facts, common with context %}
{%- from 'mirror_server/macros.jinja' import files, links %}
{%- set programs = facts.mirror_server_program_directory %}
{%- set configuration = facts.mirror_server_configuration_directory %}
{%- set read_by_it = facts.mirror_server_files | selectattr('notify', 'equalto', 'server') | map(attribute='destination') | list %}
{%- set key = configuration ~ '/site-key.asc' %}
{%- set repository = facts.mirror_server_root ~ '/current/mirror_deb' %}
{%- set packages = facts.mirror_server_packages | join(' ') %}
{%- set stale = programs ~ '/unit-stale pnda-mirror.service ' ~ read_by_it | join(' ') %}
{%- set test = '/usr/sbin/nginx -t -q -c ' ~ configuration ~ '/nginx.conf -g "pid /run/pnda-mirror-test.pid;"' %}
{{ files(facts, common) }}

mirror_server-alone:
  cmd.run:
    - name: {{ programs }}/server-alone
    - unless: {{ programs }}/server-alone
    - failhard: true # a minion of a master need not have it as its setting

{{ links(facts) }}

mirror_server-packages:
  cmd.run:
    - name: {{ programs }}/install-packages {{ key }} {{ repository }} {{ packages }}
    - unless: {{ programs }}/install-packages --there {{ packages }}
    - failhard: true

# Before anything restarts.
mirror_server-configuration:
  cmd.run:
    - name: {{ test | yaml_squote }}
    - unless: {{ test | yaml_squote }}
    - failhard: true

# A run that was ended before its restart has left files that the server has not read.
mirror_server-stale:
  cmd.run:
    - name: {{ stale }}
    - onlyif: {{ stale }}

# A state of its own: where service.running enables a service, Salt takes that for its change and
# leaves out the restart that `watch` asks for.
mirror_server-enabled:
  service.enabled:
    - name: pnda-mirror

mirror_server-service:
  service.running:
    - name: pnda-mirror
    - watch:
      - cmd: mirror_server-stale
{%- for path in read_by_it %}
      - file: mirror_server-{{ path }}
{%- endfor %}
{%- set ports = '--http=' ~ facts.mirror_server_http_port ~ ' --https=' ~ facts.mirror_server_https_port %}
{%- set where = '--root=' ~ facts.mirror_server_root ~ ' --address=' ~ facts.mirror_server_address %}
{%- set ready = programs ~ '/server-ready ' ~ where ~ ' ' ~ ports %}

{% if not opts.test %}
mirror_server-ready:
  cmd.run:
    - name: {{ ready }}
    - unless: {{ ready }} --seconds=20
{% endif %}
