/* schema.h: JSON Schema -> GBNF text for grammar.h.
 *
 * What the grammar accepts satisfies the schema; it may leave out spellings (no exponent where a number has bounds, no
 * needless escapes in a pattern). Objects are written in the order of `properties`, with at most one space, or one
 * newline and 20 blanks, where JSON allows white space.
 *
 * Understood: type (also a list), enum, const, properties, required, additionalProperties, items, prefixItems (also
 * items as a list, with additionalItems), minItems, maxItems, minLength, maxLength, pattern, format (date, time,
 * date-time, uuid), minimum, maximum, exclusiveMinimum, exclusiveMaximum (numbers, or draft 4's booleans), anyOf,
 * oneOf, allOf, $ref within the document (recursion included), nullable, true and false as schemas.
 *   - oneOf is read as anyOf: that no two branches match is not enforced.
 *   - Without `type` the other keywords tell it: `properties` an object, `items` an array, `minimum` a number ...
 *   - An object with `properties` takes no others unless additionalProperties allows it, as in llama.cpp.
 *   - pattern: a subset of ECMA-262 regular expressions: ^ and $ at the ends, classes, \d \w \s, groups, alternatives,
 *     quantifiers. With minLength or maxLength only where the pattern implies them.
 *   - enum and const: beside them only `type` may stand (and other enums).
 * Refused, since ignoring them would let through what the schema forbids: not, if, then, else, dependentSchemas,
 * dependentRequired, dependencies, patternProperties, propertyNames, contains, minContains, maxContains, uniqueItems
 * (true), minProperties (beyond `required`), maxProperties, multipleOf (but 1), unevaluatedProperties,
 * unevaluatedItems, $dynamicRef, $recursiveRef, contentSchema, references out of the document. Every other keyword, and
 * every other format, is an annotation and ignored, as the standard says. */
#ifndef ST_RUN_SCHEMA_H
#define ST_RUN_SCHEMA_H

#include "base/error.h"
#include "base/mem.h"

/* *gbnf [*gbnf_len], with a NUL behind it, is the caller's: st_free. Errors: BAD_GRAMMAR ("schema 3:14: ..." with line
 * and column; also: not JSON, too large, nothing satisfies it), NO_MEMORY. */
int st_schema_to_gbnf(const char *json, size_t len, st_mem *mem, char **gbnf, size_t *gbnf_len, strata_error *err);

#endif
