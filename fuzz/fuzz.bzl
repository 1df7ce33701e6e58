"""fuzz_target: one source, a libFuzzer binary and a regression test."""

def fuzz_target(name, deps = [], tags = [], **kwargs):
    """A cc_test around LLVMFuzzerTestOneInput(), of NAME.cc.

    In most configurations the test replays its corpus, which is how each input
    that once broke something stays fixed. With --config=libfuzzer the same
    label is a libFuzzer binary; `bazel test` still replays the corpus with it,
    and run by hand, with folders as arguments, it fuzzes:

        bazel build --config=libfuzzer //fuzz:frame_fuzz
        bazel-bin/fuzz/frame_fuzz -max_total_time=60 /tmp/new fuzz/corpus/frame_fuzz

    Args:
      name: ends in _fuzz. Its corpus is corpus/NAME, with one file at least.
      deps: of the code under test; the main() is added here.
      tags: as in cc_test; "fuzz" is added here.
      **kwargs: passed on to cc_test.
    """
    corpus = native.glob(["corpus/%s/*" % name])
    if not corpus:
        # Without a file among its arguments, libFuzzer never ends.
        fail("%s: the corpus needs at least one file" % name)
    native.cc_test(
        name = name,
        srcs = [name + ".cc"],
        args = ["$(location %s)" % file for file in corpus],
        data = corpus,
        linkopts = select({
            "//:libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = tags + ["fuzz"],
        deps = deps + select({
            "//:libfuzzer": [],
            "//conditions:default": ["//fuzz:replay_main"],
        }),
        **kwargs
    )
