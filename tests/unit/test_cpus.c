/* test_cpus.c: quotas of nested control groups and cores of many CPUs, from made-up systems. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/stat.h>

#include "base/os/cpus.h"

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/strata-cpus-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

/* A file of the made-up system, with the folders it lies in. */
static void put(const char *path, const char *text)
{
    char full[1024];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        (void)mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define V2   "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define ROOT "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"

static void no_groups(void **state)
{
    (void)state;
    assert_int_equal(st_cgroup_cpus(root), 0);
    put("/proc/self/mountinfo", ROOT);
    put("/proc/self/cgroup", "");
    assert_int_equal(st_cgroup_cpus(root), 0);
}

/* systemd's CPUQuota: the limit stands at the service, which is below what is mounted. */
static void version_2(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", ROOT V2);
    put("/proc/self/cgroup", "0::/system.slice/strata.service\n");
    assert_int_equal(st_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "150000 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 2);
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "max 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/system.slice/cpu.max", "400000 100000\n"); /* around it */
    assert_int_equal(st_cgroup_cpus(root), 4);
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "300000 50000\n"); /* looser */
    assert_int_equal(st_cgroup_cpus(root), 4);
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "1000 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/cpu.max", "nonsense");
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "-5 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 4);
    put("/sys/fs/cgroup/system.slice/strata.service/cpu.max", "5000000 0\n");
    assert_int_equal(st_cgroup_cpus(root), 4);
    put("/sys/fs/cgroup/system.slice/cpu.max", "9223372036854775807 1\n");
    assert_int_equal(st_cgroup_cpus(root), ST_MAX_CPUS);
}

/* A container with a namespace of its own sees its group as "/". */
static void containers(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", ROOT V2);
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 2);
    /* Without one it sees the host's name, and its group where it is mounted. */
    put("/proc/self/mountinfo", ROOT "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("/proc/self/cgroup", "0::/docker/abc\n");
    assert_int_equal(st_cgroup_cpus(root), 2);
    put("/proc/self/cgroup", "0::/docker/abc/inner\n");
    put("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
    assert_int_equal(st_cgroup_cpus(root), 1);
    /* A name that only begins alike, and ones beyond what is mounted. */
    static const char *const beyond[] = {"0::/docker/abcdef\n", "0::/../other\n", "0::/elsewhere\n", "0::/docker\n"};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        put("/proc/self/cgroup", beyond[i]);
        assert_int_equal(st_cgroup_cpus(root), 2);
    }
}

static void version_1(void **state)
{
    (void)state;
    put("/proc/self/mountinfo",
        ROOT "31 23 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
             "32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:5 - cgroup cgroup rw,cpu,cpuacct\n"
             "33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "12:cpuset:/other\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/x\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
    assert_int_equal(st_cgroup_cpus(root), 0);
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "250000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    assert_int_equal(st_cgroup_cpus(root), 3);
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(st_cgroup_cpus(root), 1);
    put("/sys/fs/cgroup/unified/x/cpu.max", "50000 100000\n"); /* both kinds at once */
    put("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "900000\n");
    assert_int_equal(st_cgroup_cpus(root), 1);
}

/* Names with what mountinfo escapes, lines longer than any name, and no /proc at all. */
static void odd_files(void **state)
{
    (void)state;
    put("/proc/self/mountinfo", ROOT "30 23 0:26 / /mnt/c\\040g rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/g h\n");
    put("/mnt/c g/g h/cpu.max", "300000 100000");
    assert_int_equal(st_cgroup_cpus(root), 3);
    char *big = malloc(70000);
    assert_non_null(big);
    memset(big, 'x', 69999);
    strcpy(big + 60000, "\n" V2);
    put("/proc/self/mountinfo", big);
    put("/proc/self/cgroup", "0::/g");
    put("/sys/fs/cgroup/g/cpu.max", "500000 100000");
    assert_int_equal(st_cgroup_cpus(root), 5);
    /* A group nested deeper than a name can be long. */
    memset(big, 'd', 69999);
    memcpy(big, "0::/", 4);
    big[6000] = 0;
    put("/proc/self/cgroup", big);
    put("/sys/fs/cgroup/cpu.max", "700000 100000");
    assert_int_equal(st_cgroup_cpus(root), 7);
    free(big);
    static const char *const broken[] = {"",           "\n", "a", "1 2 3", "1 2 3 4 5 - cgroup2", "1 2 3 4 5 6 - ",
                                         " - - - \n\n"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put("/proc/self/mountinfo", broken[i]);
        put("/proc/self/cgroup", broken[i]);
        (void)st_cgroup_cpus(root);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    assert_int_equal(remove(path), 0);
    assert_int_equal(st_cgroup_cpus(root), 7);
}

static st_cpu_set set;

static void add(uint32_t i)
{
    set.bits[i / 64] |= 1ull << (i % 64);
}

static void siblings(uint32_t i, const char *list)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
    put(path, list);
}

static void cores(void **state)
{
    (void)state;
    memset(&set, 0, sizeof set);
    assert_int_equal(st_count_cores(root, &set), 0);
    for (uint32_t i = 0; i < 4; i++) add(i);
    assert_int_equal(st_count_cores(root, &set), 4); /* the system says nothing */
    siblings(0, "0-1\n"), siblings(1, "0-1\n"), siblings(2, "2,3\n"), siblings(3, "2,3\n");
    assert_int_equal(st_count_cores(root, &set), 2);
    memset(&set, 0, sizeof set);
    add(1), add(3); /* one of each core */
    assert_int_equal(st_count_cores(root, &set), 2);
    /* Beyond 1,024, where a core's first thread may lie far before its second. */
    memset(&set, 0, sizeof set);
    for (uint32_t i = 0; i < 1500; i++) add(i);
    assert_int_equal(st_count_cores(root, &set), 1500 - 2);
    for (uint32_t i = 1400; i < 1500; i++) {
        char list[64];
        snprintf(list, sizeof list, "%u,%u\n", i - 700, i);
        siblings(i, list);
        siblings(i - 700, list);
    }
    assert_int_equal(st_count_cores(root, &set), 1500 - 2 - 100);
    add(ST_MAX_CPUS - 1);
    assert_int_equal(st_count_cores(root, &set), 1500 - 2 - 100 + 1);
}

/* Four threads a core, of which the first is not ours. */
static void partial_cores(void **state)
{
    (void)state;
    memset(&set, 0, sizeof set);
    for (uint32_t i = 0; i < 8; i++) siblings(i, i < 4 ? "0-3" : "4,5-6,7");
    add(1), add(2), add(3), add(6), add(7);
    assert_int_equal(st_count_cores(root, &set), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)
    const struct CMUnitTest tests[] = {TEST(no_groups), TEST(version_2), TEST(containers),   TEST(version_1),
                                       TEST(odd_files), TEST(cores),     TEST(partial_cores)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
