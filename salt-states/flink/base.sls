{%- from 'flink/map.jinja' import facts, common with context %}
{%- from 'flink/macros.jinja' import files %}
{%- set program = facts.flink_program_directory ~ '/take-away' %}
{%- set rows = "'" ~ facts.flink_managed | join("' '") ~ "'" if facts.flink_managed else '' %}
{%- set said = program ~ ' --record=' ~ facts.flink_state_directory ~ '/managed.json' %}
{{ files(facts, common, 'base') }}

# Also on a host of which nothing is described any more: then the program is there from a run before.
flink-base-taken-away:
  cmd.run:
    - name: {{ said }} --json {{ rows }}
    - unless: test ! -e {{ program }} || {{ said }} --check {{ rows }}
    - stateful:
        - test_name: {{ said }} --json --dry-run {{ rows }}
