"""scenario_test: a test that drives clusters by hand (testing/scenario.h)."""

def scenario_test(name, size = "medium", damage = False, deps = [], **kwargs):
    """A cc_test of NAME.cc.

    Args:
      name: its source's, without the suffix.
      size: as in cc_test.
      damage: disks decay in it (testing/damage_scenario.h).
      deps: besides what such tests mostly need, which is added here.
      **kwargs: passed on to cc_test.
    """
    native.cc_test(
        name = name,
        size = size,
        srcs = [name + ".cc"],
        deps = deps + [
            ":damage_scenario" if damage else ":scenario",
            ":simulation",
            "//engine/base",
            "@com_google_absl//absl/status",
            "@com_google_absl//absl/status:statusor",
            "@com_google_absl//absl/strings",
            "@com_google_googletest//:gtest_main",
        ],
        **kwargs
    )
