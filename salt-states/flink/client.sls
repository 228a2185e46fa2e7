{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files, links %}
include:
  - flink.install

{{ files(facts, common, 'client') }}

{% for release in facts.flink_releases if release.python.wheels %}
flink-client-python-{{ release.version }}:
  cmd.run:
    - name: >-
        {{ facts.flink_program_directory }}/install-python
        {{ facts.flink_state_directory }}/python-{{ release.version }}.txt
        {{ release.python.environment }} {{ facts.flink_mirror_uri }}
    - creates: {{ release.python.environment }}/.complete
    - failhard: true
    - require:
      - file: flink-client-{{ facts.flink_program_directory }}/install-python
      - file: flink-client-{{ facts.flink_state_directory }}/python-{{ release.version }}.txt
{% endfor %}

{{ links(facts, 'client') }}
