#!/usr/bin/env python3
"""JSON from a real decoder at temperature 1.5: whatever the seed, the grammar ends the answer, and it parses and validates.

40 seeds; STRATA_JSON_SEEDS=200 for more. The schema has 12 fields: texts with a pattern, a length, an enumeration; integers and
numbers with bounds; arrays with a number of items; an object in an object; a reference; alternatives; an optional field.
"""
import os
import re
import unittest

from golden import MODELS, STRATA, Temp, json, need, run

SEEDS = int(os.environ.get("STRATA_JSON_SEEDS", 40 if "release" in STRATA.parts else 2))
TEXT = {"type": "string", "minLength": 1, "maxLength": 24}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "minimum": 1, "maximum": 9999},
        "name": {"$ref": "#/$defs/text"},
        "email": {"type": "string", "pattern": "^[a-z]{1,8}@[a-z]{2,8}\\.(com|org)$"},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "active": {"type": "boolean"},
        "role": {"enum": ["admin", "editor", "reader"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/text"}, "minItems": 1, "maxItems": 3},
        "address": {
            "type": "object",
            "properties": {"city": {"$ref": "#/$defs/text"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
            "required": ["city", "zip"],
            "additionalProperties": False,
        },
        "manager": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1, "maximum": 9999}]},
        "created": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"},
        "note": {"type": "string", "maxLength": 40},
    },
    "required": ["id", "name", "email", "age", "score", "active", "role", "tags", "address", "manager", "created"],
    "additionalProperties": False,
    "$defs": {"text": TEXT},
}


def check(value, schema):
    """None, or what of value does not fit: the keywords that SCHEMA uses."""
    if "$ref" in schema:
        return check(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    if "anyOf" in schema:
        return None if any(check(value, s) is None for s in schema["anyOf"]) else f"{value!r}: no alternative"
    if "enum" in schema:
        return None if value in schema["enum"] else f"{value!r} is not in {schema['enum']}"
    kind = schema["type"]
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": (int, float)}
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"{value!r} is no {kind}"
    if kind in ("integer", "number") and not schema["minimum"] <= value <= schema["maximum"]:
        return f"{value} is out of bounds"
    if kind == "string":
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1000):
            return f"{value!r} has {len(value)} characters"
        if not re.search(schema.get("pattern", ""), value):
            return f"{value!r} does not match {schema['pattern']}"
    if kind == "array":
        if not schema["minItems"] <= len(value) <= schema["maxItems"]:
            return f"{len(value)} items"
        return next(filter(None, (check(v, schema["items"]) for v in value)), None)
    if kind == "object":
        if set(value) - set(schema["properties"]) or set(schema["required"]) - set(value):
            return f"keys {sorted(value)}"
        return next(filter(None, (check(v, schema["properties"][k]) for k, v in value.items())), None)
    return None


class Json(Temp):
    def test_valid_whatever_the_seed(self):
        model = need(MODELS / "smollm2-135m-instruct-q4_1.gguf", "JSON from a real decoder")
        schema = self.tmp / "schema.json"
        schema.write_text(json.dumps(SCHEMA))
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                p = run("generate", "-m", model, "-p", "A user of the wiki, as JSON:\n", "--json-schema", schema, "--temp", "1.5",
                        "--seed", seed, "-n", "1500", "--format", "json")
                answer = json.loads(p.stdout)
                self.assertIn(answer["finish"], ("grammar", "end"), answer)
                self.assertIsNone(check(json.loads(answer["text"]), SCHEMA), answer["text"])


if __name__ == "__main__":
    unittest.main()
