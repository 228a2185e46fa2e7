{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files, links %}
{%- set read_by_it = (facts.flink_files + facts.flink_links) | selectattr('notify', 'equalto', 'history_server') | map(attribute='destination') | list %}
{%- set stale = facts.flink_program_directory ~ '/unit-stale flink-history-server.service ' ~ read_by_it | join(' ') %}
{%- set tls = facts.flink_program_directory ~ '/history-server-tls ' %}
{%- set settings = ' --settings=' ~ facts.flink_state_directory ~ '/history-server.json' %}
{#- A certificate that is refused leaves the old files: a reboot meets what runs now. #}
{%- set checks = {} %}
{%- if facts.flink_history_certificate %}
{%- set named = '--certificate=' ~ facts.flink_history_certificate ~ ' --certificate-key=' ~ facts.flink_history_certificate_key %}
{%- set trusted = ' --ca=' ~ facts.flink_history_ca ~ ' --name=' ~ (facts.flink_history_certificate_name or facts.flink_host) %}
{%- for source in ('history-server.json.j2', 'flink-conf.yaml.j2', 'config.yaml.j2', 'log4j-console.properties.j2', 'flink-history-server.service.j2') %}
{%- do checks.update({source: tls ~ 'check ' ~ named ~ trusted}) %}
{%- endfor %}
{%- endif %}
include:
  - flink.install

{{ files(facts, common, 'history_server', checks) }}

{% if facts.flink_history_certificate %}
# Before anything leads to it.
flink-history_server-certificate:
  cmd.run:
    - name: {{ tls }}check{{ settings }}
    - unless: {{ tls }}check{{ settings }}
{% endif %}

{{ links(facts, 'history_server', ['flink-install-release-' ~ facts.flink_history_version]) }}

{% if facts.flink_history_certificate %}
flink-history_server-renewed:
  cmd.run:
    - name: {{ tls }}stale{{ settings }}
    - onlyif: {{ tls }}stale{{ settings }}
{% endif %}

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
{%- if facts.flink_history_certificate %}
    - require:
      - cmd: flink-history_server-certificate
{%- endif %}
    - watch:
      - cmd: flink-history_server-stale
{%- if facts.flink_history_certificate %}
      - cmd: flink-history_server-renewed
{%- endif %}
{%- for path in read_by_it %}
      - file: flink-history_server-{{ path }}
{%- endfor %}

{% if not opts.test %}
flink-history_server-ready:
  cmd.run:
    - name: >-
        {{ facts.flink_program_directory }}/history-server-ready{{ settings }}
    - stateful: true
    - require:
      - service: flink-history_server-service
{% endif %}
