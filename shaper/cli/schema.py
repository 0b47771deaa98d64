"""`shaper schema`: the policy format as JSON Schema, for editors to complete, explain and underline."""

import click


@click.command()
def schema() -> None:
    """Print a JSON Schema of policy files for editors."""
    import json  # noqa: PLC0415 - imported here so that `shaper --help` is quick

    from pydantic import TypeAdapter  # noqa: PLC0415

    from shaper.policy.model import Model, Policy  # noqa: PLC0415

    document = Policy.model_json_schema()
    definitions = {**document["$defs"], Policy.__name__: document}
    for model in Model.__subclasses__():
        for name, field in model.model_fields.items() if model.__name__ in definitions else ():
            described = definitions[model.__name__]["properties"][name]
            if "default" in described:  # as a file would say it: "2 KiB", not 2048
                value = TypeAdapter(field.rebuild_annotation()).dump_python(field.default, mode="json")
                described["default"] = value
    click.echo(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **document}, indent=2))
