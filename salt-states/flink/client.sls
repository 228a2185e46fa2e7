{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files, links %}
include:
  - flink.install

{{ files(facts, common, 'client') }}

{%- set after = [] %}
{%- for release in facts.flink_releases %}
{%- do after.append('flink-install-release-' ~ release.version) %}
{%- endfor %}
{% for release in facts.flink_releases if release.python.wheels %}
{%- do after.append('flink-client-python-' ~ release.version) %}
flink-client-python-{{ release.version }}:
  cmd.run:
    - name: >-
        {{ facts.flink_program_directory }}/install-python
        {{ facts.flink_state_directory }}/python-{{ release.version }}.txt
        {{ release.python.environment }} {{ facts.flink_mirror_uri }} '{{ facts.flink_mirror_ca }}'
    - creates: {{ release.python.environment }}/.complete
    - require:
      - file: flink-client-{{ facts.flink_program_directory }}/install-python
      - file: flink-client-{{ facts.flink_state_directory }}/python-{{ release.version }}.txt
{% endfor %}

{{ links(facts, 'client', after) }}
