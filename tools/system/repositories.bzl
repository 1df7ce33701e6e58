"""Debian's packages under the labels that the upstream projects use."""

load("//tools/system:absl.bzl", "absl_repository")
load("//tools/system:system_repository.bzl", "system_repository")

def system_repositories():
    """Declares each external repository that the build may name."""
    absl_repository(name = "com_google_absl")

    system_repository(
        name = "com_google_protobuf",
        build_file = "//tools/system:protobuf.BUILD",
        links = {
            "bin/protoc": "/usr/bin/protoc",
            "lib/libprotobuf.a": "{lib}/libprotobuf.a",
        },
    )
    system_repository(
        name = "com_google_googletest",
        build_file = "//tools/system:googletest.BUILD",
        links = {
            "lib/libgmock.a": "{lib}/libgmock.a",
            "lib/libgtest.a": "{lib}/libgtest.a",
            "lib/libgtest_main.a": "{lib}/libgtest_main.a",
        },
    )
    system_repository(
        name = "com_github_google_benchmark",
        build_file = "//tools/system:benchmark.BUILD",
        links = {"lib/libbenchmark_main.a": "{lib}/libbenchmark_main.a"},
    )
    system_repository(
        name = "boringssl",
        build_file = "//tools/system:boringssl.BUILD",
        links = {"include/openssl": "/usr/include/android/openssl"},
    )
    system_repository(
        name = "liburing",
        build_file = "//tools/system:liburing.BUILD",
        links = {"lib/liburing.a": "{lib}/liburing.a"},
    )

    # Bazel's own rules ask for these two. Debian's rules_cc is too new for its
    # Bazel, and coverage tools are not packaged at all.
    system_repository(
        name = "rules_cc",
        build_file = "//tools/system:rules_cc.BUILD",
        build_file_package = "cc",
        files = {"//tools/system:rules_cc_defs.bzl": "cc/defs.bzl"},
    )
    system_repository(
        name = "remote_coverage_tools",
        build_file = "//tools/system:remote_coverage_tools.BUILD",
    )

    for name, path in {
        "bazel_skylib": "/usr/share/bazel/tools/skylib",
        "platforms": "/usr/share/bazel/platforms",
        "rules_java": "/usr/share/bazel/rules/java",
        "rules_proto": "/usr/share/bazel/rules/proto",
    }.items():
        native.local_repository(name = name, path = path)
