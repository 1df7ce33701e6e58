"""Abseil under its upstream labels, linked statically from Debian's archives.

Debian packages one archive for each of Abseil's internal libraries, and they
refer to each other in every direction. They are merged into one archive: a
linker searches a single archive until nothing is missing, so no order has to
be kept here, and it still takes only the members that are needed. Each
upstream label is then the same library under another name.
"""

load("//tools/system:system_repository.bzl", "library_dir")

# The upstream labels that may be named. Extend it freely.
_PACKAGES = {
    "algorithm": ["algorithm", "container"],
    "base": ["base", "config", "core_headers", "dynamic_annotations", "endian", "log_severity", "prefetch"],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "flags": ["commandlineflag", "config", "flag", "marshalling", "parse", "reflection", "usage", "usage_internal"],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": ["bit_gen_ref", "distributions", "random"],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": ["any", "compare", "optional", "span", "variant"],
    "utility": ["utility"],
}

# `ar` reads its commands from a script, because no command line merges archives.
_ROOT_BUILD = """
genrule(
    name = "merged_archive",
    srcs = glob(["lib/*.a"]),
    outs = ["libabsl.a"],
    cmd = "(echo CREATE $@; for a in $(SRCS); do echo ADDLIB $$a; done; echo SAVE; echo END) | ar -M",
)

cc_library(
    name = "absl",
    srcs = [":libabsl.a"],
    linkopts = ["-pthread"],
    linkstatic = True,
    visibility = ["//:__subpackages__"],
)
"""

_LABEL_BUILD = """
cc_library(
    name = "%s",
    visibility = ["//visibility:public"],
    deps = ["//:absl"],
)
"""

def _absl_repository_impl(repository_ctx):
    archives = [
        path
        for path in repository_ctx.path(library_dir(repository_ctx)).readdir()
        if path.basename.startswith("libabsl_") and path.basename.endswith(".a")
    ]
    if not archives:
        fail("libabsl-dev is missing: run tools/setup, which installs it")
    for path in archives:
        repository_ctx.symlink(path, "lib/" + path.basename)
    repository_ctx.file("BUILD.bazel", _ROOT_BUILD)
    for package, labels in _PACKAGES.items():
        repository_ctx.file(
            "absl/%s/BUILD.bazel" % package,
            "".join([_LABEL_BUILD % label for label in labels]),
        )

absl_repository = repository_rule(
    implementation = _absl_repository_impl,
    local = True,
)
