"""A second C++ toolchain that is clang, beside Bazel's own, which is g++.

Setting CC=clang would also work, but it configures Bazel's only toolchain
anew on each switch, and so throws away the analysis and the outputs.
"""

load("@bazel_tools//tools/cpp:lib_cc_configure.bzl", "get_cpu_value")
load("@bazel_tools//tools/cpp:unix_cc_configure.bzl", "configure_unix_toolchain")

def _clang_toolchain_impl(repository_ctx):
    clang = repository_ctx.which("clang")
    if clang == None:
        fail("clang is missing: run tools/setup, which installs it")
    configure_unix_toolchain(
        repository_ctx,
        get_cpu_value(repository_ctx),
        {"gcc": str(clang)},
    )

clang_toolchain = repository_rule(
    implementation = _clang_toolchain_impl,
    configure = True,
)
