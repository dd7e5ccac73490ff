/* schema.h: JSON Schema -> GBNF text for grammar.h.
 *
 * What the grammar accepts satisfies the schema; it may leave out spellings (no exponent where a number has bounds, no
 * needless escapes in a pattern). Objects are written in the order of `properties`, with at most one space, or one
 * newline and 20 blanks, where JSON allows white space.
 *
 * Kept: type (also a list), enum, const, properties, required, additionalProperties, patternProperties (one pattern and
 * no other names), propertyNames, minProperties, maxProperties (see below), items, prefixItems (also items as a list,
 * with additionalItems), minItems, maxItems, uniqueItems (see below), minLength, maxLength, pattern, format (date,
 * time, date-time, uuid), minimum, maximum, exclusiveMinimum, exclusiveMaximum (numbers, or draft 4's booleans),
 * multipleOf, anyOf, oneOf, allOf, not (see below), nullable, true and false as schemas, $ref within the document:
 * pointers, $anchor, $id (recursion included).
 *   - oneOf is read as anyOf: that no two branches match is not enforced, but for values of an enum or a const.
 *   - Without `type` the other keywords tell it: `properties` an object, `items` an array, `minimum` a number ...
 *   - An object with `properties` takes no others unless additionalProperties allows it, as in llama.cpp.
 *   - maxLength, maxItems and maxProperties above 4294967294 are no limit, as no text is that long. A bound of numbers
 *     with more than 40 digits is the nearest that has 40.
 *   - pattern: a subset of ECMA-262 regular expressions: ^ and $ at the ends, classes, \d \w \s, groups, alternatives,
 *     quantifiers, looking ahead but in what is repeated. Several patterns, and lengths beside them, all hold.
 *   - A format beside a pattern holds too, unless no string is both: then it is the annotation that the standard
 *     calls it.
 *   - enum and const: the values that all other keywords of the schema allow.
 *   - uniqueItems (true): of items that are an enum, true, false, null, in up to 4096 sets of them; or where maxItems
 *     is 1.
 *   - multipleOf: of at most 9 digits, as long as its states are no more than 40000.
 *   - not: {}, a type, an enum or a const of strings, null, true and false, a pattern, a minLength or a maxLength of
 *     strings; anything beside an enum or a const.
 *   - minProperties up to one more than required; maxProperties where no optional names compete for the places.
 * Refused, since ignoring them would let through what the schema forbids: if, then, else, dependentSchemas,
 * dependentRequired, dependencies, contains, minContains, maxContains, unevaluatedProperties, unevaluatedItems,
 * $dynamicRef, $recursiveRef, extends, disallow, divisibleBy, references out of the document, and forms of the above
 * that are not described here. Every other keyword, and every other format, is an annotation and ignored, as the
 * standard says (title, description, default, examples, $comment, deprecated, readOnly, writeOnly, $schema, content*,
 * ...).
 *
 * A byte order mark before the text is skipped; UTF-16 is refused. */
#ifndef ST_GRAMMAR_SCHEMA_SCHEMA_H
#define ST_GRAMMAR_SCHEMA_SCHEMA_H

#include "base/error.h"
#include "base/os/mem.h"

/* *gbnf [*gbnf_len], with a NUL behind it, is the caller's: st_free. Errors: BAD_GRAMMAR ("schema 3:14: ..." with line
 * and column; also: not JSON, too large, nothing satisfies it), NO_MEMORY. */
int st_schema_to_gbnf(const char *json, size_t len, st_mem *mem, char **gbnf, size_t *gbnf_len, strata_error *err);

#endif
