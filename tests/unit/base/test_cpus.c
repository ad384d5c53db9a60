/* test_cpus.c - quotas of cgroups, out of folders made for the purpose. */
#include "base/cpus.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char root[] = "/tmp/dyno-cpus-XXXXXX";

static const char *at(const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(at(name), "w");
    REQUIRE(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

static int quota(void)
{
    char membership[PATH_MAX];
    (void)snprintf(membership, sizeof(membership), "%s", at("self"));
    return dyno_cpus_quota_count(root, membership);
}

static void test_version_2(void)
{
    put("self", "1:name=x:/elsewhere\n0::/pod/box\n");
    CHECK(mkdir(at("pod"), 0700) == 0);
    CHECK(mkdir(at("pod/box"), 0700) == 0);
    CHECK(quota() == INT_MAX);
    put("pod/box/cpu.max", "max 100000\n");
    CHECK(quota() == INT_MAX);
    put("pod/box/cpu.max", "250000 100000\n"); /* two and a half: three threads */
    CHECK(quota() == 3);
    put("pod/cpu.max", "100000 100000\n"); /* a group above it gives less */
    CHECK(quota() == 1);
    put("pod/cpu.max", "900000 100000\n");
    CHECK(quota() == 3);
    put("pod/box/cpu.max", "1000 100000\n");
    CHECK(quota() == 1);
    put("pod/box/cpu.max", "none at all\n"); /* what is no quota limits nothing */
    CHECK(quota() == 9);
    put("pod/box/cpu.max", "-1 0\n");
    CHECK(quota() == 9);
    CHECK(unlink(at("pod/box/cpu.max")) == 0);
    CHECK(unlink(at("pod/cpu.max")) == 0);
    CHECK(rmdir(at("pod/box")) == 0);
    CHECK(rmdir(at("pod")) == 0);
    CHECK(unlink(at("self")) == 0);
}

static void test_version_1(void)
{
    CHECK(mkdir(at("cpu"), 0700) == 0);
    put("cpu/cpu.cfs_quota_us", "-1\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    CHECK(quota() == INT_MAX);
    put("cpu/cpu.cfs_quota_us", "400000\n");
    CHECK(quota() == 4);
    CHECK(unlink(at("cpu/cpu.cfs_quota_us")) == 0);
    CHECK(unlink(at("cpu/cpu.cfs_period_us")) == 0);
    CHECK(rmdir(at("cpu")) == 0);
}

int main(void)
{
    REQUIRE(mkdtemp(root) != NULL);
    test_version_2();
    test_version_1();
    CHECK(rmdir(root) == 0);
    CHECK(dyno_cpus_allowed_count() >= 1);
    CHECK(dyno_cpus_allowed(0) >= 0);
    return TEST_RESULT();
}
