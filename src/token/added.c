/* added.c: the trie of added tokens. See added.h. */
#include "token/added.h"

#include <string.h>

#include "base/utf8.h"

static size_t added_slot_of(const st_added *a, uint32_t node, uint8_t byte)
{
    uint64_t h = ((uint64_t)node << 8 | byte) * 0x9e3779b97f4a7c15u;
    size_t k = (size_t)(h >> 32) & (a->edge_cap - 1);
    while (a->edges[k].child && (a->edges[k].node != node || a->edges[k].byte != byte)) k = (k + 1) & (a->edge_cap - 1);
    return k;
}

/* Doubles the table of edges so that it stays at most half full. */
static bool added_widen(st_added *a, st_mem *mem)
{
    st_added old = *a;
    a->edge_cap = old.edge_cap ? old.edge_cap * 2 : 64;
    a->edges = st_calloc(mem, a->edge_cap, sizeof *a->edges);
    if (!a->edges) {
        a->edges = old.edges;
        a->edge_cap = old.edge_cap;
        return false;
    }
    for (size_t i = 0; i < old.edge_cap; i++)
        if (old.edges[i].child)
            a->edges[added_slot_of(a, old.edges[i].node, (uint8_t)old.edges[i].byte)] = old.edges[i];
    st_free(mem, old.edges);
    return true;
}

static bool added_add_node(st_added *a, st_mem *mem)
{
    if (a->n_nodes == UINT32_MAX) return false;
    if (!st_grow(mem, &a->nodes, &a->node_cap, a->n_nodes + 1, a->n_nodes, sizeof *a->nodes)) return false;
    a->nodes[a->n_nodes++] = (st_added_node){-1, 0, 0};
    return true;
}

bool st_added_put(st_added *a, st_mem *mem, st_str s, int32_t id, unsigned class, unsigned flags)
{
    const char *p = s.ptr;
    size_t n = s.len;
    if (!n || st_utf8_check(p, n) != n) return true;
    if (!a->n_nodes && !added_add_node(a, mem)) return false;
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        if (a->n_nodes * 2 >= a->edge_cap && !added_widen(a, mem)) return false;
        size_t k = added_slot_of(a, node, (uint8_t)p[i]);
        if (!a->edges[k].child) {
            if (!added_add_node(a, mem)) return false;
            a->edges[k] = (st_added_edge){node, (uint32_t)(a->n_nodes - 1), (uint8_t)p[i]};
        }
        node = a->edges[k].child;
    }
    if (a->nodes[node].id >= 0) return true;
    a->nodes[node] = (st_added_node){id, (uint16_t) class, (uint16_t)flags};
    a->flagged = a->flagged || flags;
    a->first[(uint8_t)p[0]] |= (uint8_t) class;
    return true;
}

uint32_t st_added_step(const st_added *a, uint32_t node, uint8_t b)
{
    return a->edges[added_slot_of(a, node, b)].child;
}

void st_added_free(st_added *a, st_mem *mem)
{
    st_free(mem, a->edges);
    st_free(mem, a->nodes);
    *a = (st_added){0};
}

int32_t st_added_match(const st_added *a, const uint8_t *p, size_t n, unsigned classes, size_t *len, size_t *work)
{
    int32_t best = -1;
    uint32_t node = 0;
    size_t i = 0;
    for (; i < n && a->edges; i++) {
        node = a->edges[added_slot_of(a, node, p[i])].child;
        if (!node) break;
        if (a->nodes[node].class & classes) {
            best = a->nodes[node].id;
            *len = i + 1;
        }
    }
    *work += i;
    return best;
}

unsigned st_added_flags(const st_added *a, const uint8_t *p, size_t n)
{
    uint32_t node = 0;
    if (!a->flagged) return 0;
    for (size_t i = 0; i < n; i++) {
        node = a->edges[added_slot_of(a, node, p[i])].child;
        if (!node) return 0;
    }
    return a->nodes[node].flags;
}
