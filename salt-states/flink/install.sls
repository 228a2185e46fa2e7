{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files, links %}
include:
  - flink.base

flink-install-group:
  group.present:
    - name: {{ facts.flink_group }}
    - system: true

flink-install-user:
  user.present:
    - name: {{ facts.flink_user }}
    - gid: {{ facts.flink_group }}
    - system: true
    - home: /nonexistent
    - createhome: false
    - shell: /usr/sbin/nologin
    - require:
      - group: flink-install-group

{{ files(facts, common, 'install') }}

{%- set installed = [] %}
{% for release in facts.flink_releases %}
{%- do installed.append('flink-install-release-' ~ release.version) %}
flink-install-release-{{ release.version }}:
  cmd.run:
    - name: {{ facts.flink_program_directory }}/install-release {{ facts.flink_state_directory }}/release-{{ release.version }}.json
    - creates: {{ release.home }}/.pnda-{{ release.digest }}
    - require:
      - file: flink-install-{{ facts.flink_program_directory }}/install-release
      - file: flink-install-{{ facts.flink_state_directory }}/release-{{ release.version }}.json
{% endfor %}

{{ links(facts, 'install', installed) }}
